const PREFIX = /^(?:\/[\w\-.~!$&'()*+;=:@%]+)*$/
/** A segment that stands for another one, also where its dots are escaped: browsers read both alike. */
const LEAVES = /^(?:\.|%2e){1,2}$/i
const MAX_CHARACTERS = 256

/**
 * The path below which clients find the server, of its parts from the outermost proxy to the innermost: without a slash
 * at its end, and usually empty. Undefined where a part is no path. Commas are escaped, as `Upload-Concat` reads addresses
 * from a list.
 */
export function prefixOf(parts: readonly string[]): string | undefined {
  const prefix = parts.map((part) => part.replaceAll(',', '%2C').replace(/\/$/, '')).join('')
  const leaves = prefix.split('/').some((segment) => LEAVES.test(segment))
  return PREFIX.test(prefix) && !leaves && prefix.length <= MAX_CHARACTERS ? prefix : undefined
}
