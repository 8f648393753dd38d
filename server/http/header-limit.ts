import type { IncomingMessage } from 'node:http'
import { Problem } from './errors.ts'
import type { Prepare } from './layer.ts'
import { methodOf } from './method-override.ts'

/** For the metadata of an upload and the addresses of many partial ones. Node's limit. */
export const MAX_HEADER_BYTES = 64 * 1024
/** Enough for everything but the creation of an upload. */
const MAX_ORDINARY_HEADER_BYTES = 16 * 1024

/** Refuses more than 16 KiB of headers, except for the creation of an upload, which may have 64. */
export const limitHeaders: Prepare = (request) => {
  const isCreation = methodOf(request) === 'POST' && /^\/files\/?(\?|$)/.test(request.url)
  if (!isCreation && headerBytes(request) > MAX_ORDINARY_HEADER_BYTES) {
    throw new Problem('headers-too-large', 'The request headers exceed the limit of 16 KiB.', {
      headers: { Connection: 'close' },
    })
  }
}

/** As received: names and values with colons, spaces and line breaks. */
function headerBytes({ method = '', url = '', rawHeaders }: IncomingMessage): number {
  let bytes = method.length + url.length
  for (const text of rawHeaders) bytes += text.length + 2
  return bytes
}
