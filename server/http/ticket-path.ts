/**
 * Uppy's plugin for S3 sends no header of ours, and adds to the path of the address that it is given. So that address may
 * have an upload ticket in its path.
 */
const TARGET = /^(\/api\/v1\/direct-uploads)\/tickets\/(lfu_[A-Za-z0-9_-]{43})(\/s3\/[^?#]*)(?:\?(.*))?$/

/** A ticket anywhere in a text, whole or not. */
const ANY_TICKET = /lfu_[A-Za-z0-9_-]+/g

/** A path as it may be logged, also where no ticket was expected. */
export const withoutSecrets = (path: string): string => path.replace(ANY_TICKET, 'lfu_…')

/** The target of a request, with the ticket of its path in its query, as other requests have it. */
export function withoutTicket(target: string): string {
  const [, base, ticket, path, query] = TARGET.exec(target) ?? []
  if (base === undefined) return target
  return `${base}${path}?${query === undefined || query === '' ? '' : `${query}&`}ticket=${ticket}`
}
