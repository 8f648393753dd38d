import { createPublicKey } from 'node:crypto'
import jwks from 'jwks-rsa'
import { Problem } from '../http/errors.ts'
import { isStrongEnough } from '../public-keys.ts'
import { fetchKeySet, WEAK_KEY } from './jwks-document.ts'

/** Keys are asked for anew after this long, so that a revoked one goes. */
const FRESH_MS = 10 * 60_000
/** How long known keys count while the issuer cannot be reached. */
const STALE_MS = 60 * 60_000
/** Between two fetches that nobody but a token asked for: an unknown key id is free to invent. */
const PAUSE_MS = 30_000

export type WarnOfKey = (about: { kid: string | undefined }, message: string) => void

/**
 * The keys an issuer publishes. A key id that is not among them is looked up once more, for that is how
 * a rotation arrives, but however many are invented, known keys go on working and the issuer is left in
 * peace.
 */
export class JwksKeys {
  readonly #client: jwks.JwksClient
  #keys = new Map<string | undefined, string>()
  #fetchedAt = Number.NEGATIVE_INFINITY
  #triedAt = Number.NEGATIVE_INFINITY
  /** Of the last fetch for a key id that was not known. */
  #askedAt = Number.NEGATIVE_INFINITY
  #running: Promise<void> | undefined

  readonly #warn: WarnOfKey

  /** `warn` is told of keys that are not used because they are too weak, at each fetch. */
  constructor(url: string, warn: WarnOfKey = () => {}) {
    this.#warn = warn
    this.#client = jwks({ jwksUri: url, cache: false, rateLimit: false, fetcher: fetchKeySet })
  }

  /** The key of this id, as PEM; without an id the only key there is. Fails with `unavailable`. */
  async find(kid: string | undefined): Promise<string | undefined> {
    const now = performance.now()
    const isNeeded = now - this.#fetchedAt > STALE_MS
    if (isNeeded || (now - this.#fetchedAt > FRESH_MS && now - this.#triedAt > PAUSE_MS)) {
      await this.#fetch({ isNeeded })
    }
    // A fetch that another token has asked for may bring this one's key as well.
    if (this.#pick(kid) === undefined && this.#running) await this.#fetch({ isNeeded: false })
    const known = this.#pick(kid)
    if (known !== undefined || performance.now() - this.#askedAt < PAUSE_MS) return known
    this.#askedAt = performance.now()
    await this.#fetch({ isNeeded: false })
    return this.#pick(kid)
  }

  #pick(kid: string | undefined): string | undefined {
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
    const keys = await this.#client.getSigningKeys()
    this.#keys = new Map()
    for (const { kid, getPublicKey } of keys) {
      const pem = getPublicKey()
      if (isStrongEnough(createPublicKey(pem))) this.#keys.set(kid, pem)
      else this.#warn({ kid }, WEAK_KEY)
    }
    this.#fetchedAt = performance.now()
  }
}
