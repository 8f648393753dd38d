import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'

/** The expected digest of a body or a file. */
export type ExpectedDigest = { algorithm: Algorithm; digest: Buffer }

/** tus 1.0 § Tus-Checksum-Algorithm, and of these RFC 9530 allows `sha256` and `sha512`. */
export const ALGORITHMS = ['sha1', 'sha256', 'sha512', 'md5', 'crc32'] as const
export type Algorithm = (typeof ALGORITHMS)[number]

const BYTES: Record<Algorithm, number> = { sha1: 20, sha256: 32, sha512: 64, md5: 16, crc32: 4 }

/** Reads the base64 of a digest; undefined where it is malformed or of another length. */
export function readDigest(algorithm: Algorithm, base64: string): ExpectedDigest | undefined {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) return undefined
  const digest = Buffer.from(base64, 'base64')
  return digest.length === BYTES[algorithm] ? { algorithm, digest } : undefined
}

/** The received bytes do not match their digest. */
export class DigestMismatch extends Error {
  constructor(algorithm: Algorithm) {
    super(`the ${algorithm} of what arrived is another one`)
    this.name = 'DigestMismatch'
  }
}

/** A digest that is computed chunk by chunk. */
export class RunningDigest {
  readonly #algorithm: Algorithm
  readonly #hash
  #crc = 0

  constructor(algorithm: Algorithm) {
    this.#algorithm = algorithm
    this.#hash = algorithm === 'crc32' ? undefined : createHash(algorithm)
  }

  update(chunk: Uint8Array): void {
    if (this.#hash) this.#hash.update(chunk)
    else this.#crc = crc32(chunk, this.#crc)
  }

  /** CRC-32 as four bytes, the highest first. Nothing can be added afterwards. */
  digest(): Buffer {
    if (this.#hash) return this.#hash.digest()
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32BE(this.#crc)
    return bytes
  }

  /** Fails with `DigestMismatch`. */
  check(expected: Buffer): void {
    if (!this.digest().equals(expected)) throw new DigestMismatch(this.#algorithm)
  }
}
