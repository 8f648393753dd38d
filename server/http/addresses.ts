import type { Request } from 'express'

const HOST = /^[A-Za-z0-9.:[\]_-]+$/

/**
 * The address by which the client reached the first proxy, by `Forwarded` (RFC 7239) or `X-Forwarded-*`; undefined
 * where no trusted proxy sends both scheme and host. The first in a list is the nearest to the client.
 */
export function forwardedBase(request: Request): string | undefined {
  const isTrusted: (address: string | undefined, hop: number) => boolean = request.app.get('trust proxy fn')
  if (!isTrusted(request.socket.remoteAddress, 0)) return undefined
  const { proto, host } = fromForwarded(request.get('forwarded')) ?? {
    proto: first(request.get('x-forwarded-proto')),
    host: first(request.get('x-forwarded-host')) ?? request.get('host'),
  }
  if (!proto || !host || !/^https?$/i.test(proto) || !HOST.test(host)) return undefined
  return `${proto.toLowerCase()}://${host}`
}

const first = (list: string | undefined): string | undefined => list?.split(',', 1)[0]?.trim()

function fromForwarded(header: string | undefined): { proto?: string; host?: string } | undefined {
  if (header === undefined) return undefined
  const pairs = (first(header) ?? '').split(';').map((pair) => {
    const [name = '', value = ''] = pair.split('=', 2)
    return [name.trim().toLowerCase(), value.trim().replace(/^"(.*)"$/, '$1')]
  })
  return Object.fromEntries(pairs)
}
