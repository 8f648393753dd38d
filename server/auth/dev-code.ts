import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'

/** 192 random bits, base64url: the code of one start, which is only printed. */
export function newDevCode(): string {
  return randomBytes(24).toString('base64url')
}

/** Compares a header with the code in constant time. */
export function isDevCode(given: string | undefined, code: string): boolean {
  // Hashed to equal lengths for the comparison.
  const hash = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(hash(given ?? ''), hash(code))
}
