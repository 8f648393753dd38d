import type { Request } from 'express'
import { Problem } from '../http/errors.ts'
import { listElements } from '../http/list-header.ts'

/**
 * Refuses a coded body (RFC 9110 § 8.4): offsets and lengths count the bytes of the file, and coded bytes cannot be
 * inspected. Fails with `unsupported-content-type`.
 */
export function refuseContentCoding(request: Pick<Request, 'headers'>): void {
  const codings = listElements(request.headers['content-encoding'])
  if (codings.every((coding) => coding.toLowerCase() === 'identity')) return
  throw new Problem('unsupported-content-type', 'Files are taken as they are, without a Content-Encoding.', {
    headers: { 'Accept-Encoding': 'identity' },
  })
}
