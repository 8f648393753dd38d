/**
 * Where the server is: at the root of its host, or below the path that a proxy gives it. The page's scripts lie in a folder
 * beside its document, and are found by then, however the document was asked for.
 */
const script = import.meta.url
const base = new URL('../', script)

/** The address of one of the server's paths, such as `/api/v1/quota`. */
export function addressOf(path: `/${string}`): string {
  return new URL(path.slice(1), base).href
}

/** A key of localStorage: other servers may have their pages below other paths of the same host. */
export function storageKeyOf(name: string): string {
  return base.pathname === '/' ? name : `${name}:${base.pathname}`
}
