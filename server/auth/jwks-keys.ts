import type { KeyObject } from 'node:crypto'
import { Problem } from '../http/errors.ts'
import { isStrongEnough } from '../public-keys.ts'
import { fetchSigningKeys, WEAK_KEY } from './jwks-document.ts'

/** Keys are fetched again after this long, so that revoked ones disappear. */
const FRESH_MS = 10 * 60_000
/** How long known keys are used while the issuer is unavailable. */
const STALE_MS = 60 * 60_000
/** Between two fetches for unknown key ids, which anybody can invent. */
const PAUSE_MS = 30_000

export type KeyWarning = (about: { kid: string | undefined }, message: string) => void

/**
 * The keys of an issuer. An unknown key id causes a fetch, as after a rotation; however many are invented, known keys
 * go on working and the issuer is not flooded.
 */
export class JwksKeys {
  readonly #url: string
  #keys = new Map<string | undefined, KeyObject>()
  #fetchedAt = Number.NEGATIVE_INFINITY
  #triedAt = Number.NEGATIVE_INFINITY
  /** Of the last fetch for an unknown key id. */
  #askedAt = Number.NEGATIVE_INFINITY
  #running: Promise<void> | undefined
  readonly #warn: KeyWarning

  /** `warn` is called at each fetch for keys that are too weak to be used. */
  constructor(url: string, warn: KeyWarning = () => {}) {
    this.#url = url
    this.#warn = warn
  }

  /** The key of this id; without an id, the only key. Fails with `unavailable`. */
  async find(kid: string | undefined): Promise<KeyObject | undefined> {
    const now = performance.now()
    const isNeeded = now - this.#fetchedAt > STALE_MS
    if (isNeeded || (now - this.#fetchedAt > FRESH_MS && now - this.#triedAt > PAUSE_MS)) {
      await this.#fetch({ isNeeded })
    }
    // A running fetch may bring this key.
    if (this.#pick(kid) === undefined && this.#running) await this.#fetch({ isNeeded: false })
    const known = this.#pick(kid)
    if (known !== undefined || performance.now() - this.#askedAt < PAUSE_MS) return known
    this.#askedAt = performance.now()
    await this.#fetch({ isNeeded: false })
    return this.#pick(kid)
  }

  #pick(kid: string | undefined): KeyObject | undefined {
    if (kid !== undefined) return this.#keys.get(kid)
    return this.#keys.size === 1 ? [...this.#keys.values()][0] : undefined
  }

  async #fetch({ isNeeded }: { isNeeded: boolean }): Promise<void> {
    this.#running ??= this.#load().finally(() => {
      this.#running = undefined
    })
    try {
      await this.#running
    } catch (error) {
      if (!isNeeded) return
      throw new Problem('unavailable', 'The keys of the token issuer cannot be fetched.', {
        headers: { 'Retry-After': '5' },
        cause: error,
      })
    }
  }

  async #load(): Promise<void> {
    this.#triedAt = performance.now()
    const keys = await fetchSigningKeys(this.#url)
    this.#keys = new Map()
    for (const { kid, key } of keys) {
      if (isStrongEnough(key)) this.#keys.set(kid, key)
      else this.#warn({ kid }, WEAK_KEY)
    }
    this.#fetchedAt = performance.now()
  }
}
