/** Bytes that are compared between two yields. */
const STRETCH = 256 * 1024

/**
 * Where `found` contains `bytes`, in order; undefined between stretches, so that the caller can yield. Linear in the
 * length (Knuth, Morris and Pratt): `Buffer.indexOf` is quadratic on crafted input.
 */
export function* occurrences(bytes: Buffer, found: Buffer): Generator<number | undefined> {
  const borders = bordersOf(found)
  let matched = 0
  for (let at = 0; at < bytes.length; at++) {
    if (at % STRETCH === STRETCH - 1) yield undefined
    while (matched > 0 && bytes[at] !== found[matched]) matched = borders[matched - 1] ?? 0
    if (bytes[at] === found[matched]) matched += 1
    if (matched < found.length) continue
    yield at + 1 - found.length
    matched = 0
  }
}

/** For each prefix of the bytes, the length of its longest border. */
function bordersOf(bytes: Buffer): Uint32Array {
  const borders = new Uint32Array(bytes.length)
  let length = 0
  for (let at = 1; at < bytes.length; at++) {
    while (length > 0 && bytes[at] !== bytes[length]) length = borders[length - 1] ?? 0
    if (bytes[at] === bytes[length]) length += 1
    borders[at] = length
  }
  return borders
}
