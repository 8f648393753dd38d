import { prefixOf } from '../url-prefix.ts'

/** Scheme and host of a target in absolute form (RFC 9112 § 3.2.2). */
const ORIGIN = /^https?:\/\/[^/?#\s]*/i

export type PrefixRemoval = {
  /** The address at which proxies have the server. */
  publicUrl: string | undefined
  /** Paths of the server itself, such as `/files/:id`. */
  ownPaths: readonly string[]
  /** Paths that are reached as they are and in no other way: a proxy closes them by comparing. */
  innerPaths: readonly string[]
}

/**
 * Makes the function that takes the path of `PUBLIC_URL` off the target of a request, where a proxy has left it there.
 * It leaves targets alone where that path is also one of the server's own, such as `/files`: nobody could tell whether
 * it was taken off already.
 */
export function prefixRemover({
  publicUrl,
  ownPaths,
  innerPaths,
}: PrefixRemoval): (target: string) => string {
  const { pathname = '' } = publicUrl === undefined ? {} : new URL(publicUrl)
  const prefix = prefixOf([pathname])
  const firstOf = (path: string) => path.split('/', 2)[1] ?? ''
  if (!prefix || ownPaths.some((path) => firstOf(path) === firstOf(prefix))) return (target) => target
  // As addresses of this server have it, and as the operator wrote it.
  const spellings = new Set([prefix, pathname.replace(/\/$/, '')])
  return function withoutPrefix(target) {
    const origin = target.startsWith('/') ? '' : (ORIGIN.exec(target)?.[0] ?? '')
    const path = target.slice(origin.length)
    for (const spelling of spellings) {
      const rest = path.startsWith(spelling) ? path.slice(spelling.length) : undefined
      if (rest === undefined || !/^(?:[/?]|$)/.test(rest)) continue
      const inner = rest.startsWith('/') ? rest : `/${rest}`
      return innerPaths.includes(inner.split('?', 1)[0] ?? '') ? target : origin + inner
    }
    return target
  }
}
