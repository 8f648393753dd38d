import type { KeyObject } from 'node:crypto'
import { RecentMap } from '../../system/recent-map.ts'
import type { Principal } from './principal.ts'

export type VerificationKey = string | KeyObject

/** A token whose signature and claims were right. */
export type VerifiedToken = {
  principal: Principal
  /** `exp` and the clock tolerance, in seconds since 1970. */
  endsAt: number
  kid: string | undefined
  /** The key that verified it: when that is withdrawn, the token is not valid any more. */
  key: VerificationKey
}

const MAX_TOKENS = 1000
const MAX_CHARACTERS = 4096

/**
 * The last thousand valid tokens: their signatures are not checked again with every request. A token counts only while
 * its key and its time are valid; all others are verified again.
 */
export class VerifiedTokens {
  /** By token, the least recently used first. */
  readonly #known = new RecentMap<string, VerifiedToken & { verifiedAt: number }>(MAX_TOKENS)
  readonly #keysOf: (kid: string | undefined) => Promise<readonly VerificationKey[]>

  constructor(keysOf: (kid: string | undefined) => Promise<readonly VerificationKey[]>) {
    this.#keysOf = keysOf
  }

  /** The principal of a known token; undefined where it has to be verified. Fails as the key source does. */
  async find(token: string): Promise<Principal | undefined> {
    const known = this.#known.get(token)
    if (!known) return undefined
    this.#known.delete(token)
    const now = Date.now() / 1000
    // After the clock was set back, it may be before `nbf`.
    if (Math.floor(now) >= known.endsAt || now < known.verifiedAt) return undefined
    const keys = await this.#keysOf(known.kid)
    if (!keys.includes(known.key)) return undefined
    this.#known.set(token, known)
    return known.principal
  }

  add(token: string, verified: VerifiedToken): void {
    if (token.length > MAX_CHARACTERS) return
    this.#known.set(token, { ...verified, verifiedAt: Date.now() / 1000 })
  }
}
