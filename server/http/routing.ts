import { notFound, Problem } from './errors.ts'
import type { Prepare } from './layer.ts'

/** Characters of a path by RFC 3986 § 3.3: parsers read other ones differently. */
const PATH = /^\/[\w\-.~!$&'()*+,;=:@%/]*$/
const QUERY = /^[^\s#]*$/
/** The collection as in tusd, and in the settings of many clients. */
const COLLECTION = '/files/'

/** The spellings of a route's path: one, except for the collection. */
export const spellingsOf = (path: string): string[] =>
  `${path}/` === COLLECTION ? [path, COLLECTION] : [path]

/**
 * Refuses targets that reach a route by another spelling, with a slash at the end or twice, or with characters that
 * paths do not have. Of the absolute form, which every server has to accept (RFC 9112 § 3.2.2), the path counts, as in
 * Express.
 */
export const checkTarget: Prepare = (request) => {
  const relative = request.url.replace(/^https?:\/\/[^/?#\s]*/i, '')
  const [, path = '', query = ''] = /^([^?]*)\??(.*)$/s.exec(relative === '' ? '/' : relative) ?? []
  // `OPTIONS *` is not supported.
  if (path === '*') throw notFound()
  if (!PATH.test(path) || !QUERY.test(query))
    throw new Problem('invalid-request', 'The request path contains invalid characters.')
  if (path.includes('//') || (path.endsWith('/') && path !== '/' && path !== COLLECTION)) throw notFound()
}

/** Whether a request has only a path, as sent to a server and not to a proxy. */
export const isOriginForm = ({ originalUrl }: { originalUrl: string }): boolean => originalUrl.startsWith('/')
