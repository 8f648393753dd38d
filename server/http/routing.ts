import { type RequestHandler, Router } from 'express'
import { notFound, Problem } from './errors.ts'

/** What RFC 3986 § 3.3 allows in a path: whatever else parsers read into a target, each reads something of its own. */
const PATH = /^\/[\w\-.~!$&'()*+,;=:@%/]*$/
const QUERY = /^[^\s#]*$/
/** What `tusd` has for its collection, and so many a client for its endpoint. */
const COLLECTION = '/files/'

/** For routes that are written in one way only: a proxy in front compares texts, and must be right about them. */
export function strictRouter(): Router {
  return Router({ caseSensitive: true, strict: true })
}

/**
 * Refuses targets that would reach a route although they are written otherwise, with a slash at the end or twice, or
 * with characters that no path has. Of the absolute form, which every server has to take (RFC 9112 § 3.2.2), it is the path
 * that counts; Express finds it by itself.
 */
export const checkTarget: RequestHandler = (request, _response, next) => {
  const relative = request.url.replace(/^https?:\/\/[^/?#\s]*/i, '')
  const [, path = '', query = ''] = /^([^?]*)\??(.*)$/s.exec(relative === '' ? '/' : relative) ?? []
  // `OPTIONS *` is about the server, and nothing here.
  if (path === '*') throw notFound()
  if (!PATH.test(path) || !QUERY.test(query))
    throw new Problem('invalid-request', 'The request path contains invalid characters.')
  if (path.includes('//') || (path.endsWith('/') && path !== '/' && path !== COLLECTION)) throw notFound()
  next()
}

/** Whether a request names its path alone, as clients do that talk to this server and to no proxy. */
export const isOriginForm = ({ originalUrl }: { originalUrl: string }): boolean => originalUrl.startsWith('/')
