import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'

/** 192 random bits, base64url: the code of one start, which only its output tells. */
export function newDevCode(): string {
  return randomBytes(24).toString('base64url')
}

/** Whether the header of a request is the code. Takes as long whatever is given. */
export function isDevCode(given: string | undefined, code: string): boolean {
  // Hashed, as the comparison takes two of the same length.
  const hash = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(hash(given ?? ''), hash(code))
}
