import type { Request } from 'express'
import { prefixOf } from '../url-prefix.ts'
import { isLoopbackHost, parseHost } from './host.ts'
import { listElements } from './list-header.ts'
import { showsProxy } from './proxy-headers.ts'
import { isOriginForm } from './routing.ts'

/** Where clients find this server. */
type Base = {
  /** Scheme, host and port; undefined where they are not known. */
  origin: string | undefined
  /** The path below which a proxy has the server, such as `/upload`; usually empty. No slash at its end. */
  prefix: string
}

export type AddressOptions = {
  /** Without a slash at its end. */
  PUBLIC_URL?: string | undefined
  LOCATION: 'auto' | 'relative' | 'absolute'
}

/** Addresses of this server's paths, for the client of one request. */
export type Addresses = {
  /** Of pages of this server, where `PUBLIC_URL` or a trusted proxy says so. */
  origin: string | undefined
  /** For `Location`: absolute where the origin is known and wanted, for many clients cannot resolve a relative one. */
  location(path: string): string
  /** For `Link`: a path, which clients resolve against the address that they used. */
  reference(path: string): string
  /** For documents, which are passed on: below `PUBLIC_URL`, or else as in `Link`. */
  link(path: string): string
}

export type AddressesOf = (request: Request) => Addresses

/**
 * Makes the function that every address in an answer comes from. The server is where `PUBLIC_URL` says, or else the
 * headers of a trusted proxy; or else, for a request that shows no proxy, where its `Host` says.
 */
export function addressesOf(options: AddressOptions): AddressesOf {
  const configured = options.PUBLIC_URL === undefined ? undefined : baseOf(new URL(options.PUBLIC_URL))
  return function addressesOfRequest(request) {
    const forwarded = configured ?? forwardedBase(request)
    const prefix = forwarded?.prefix ?? ''
    const origin =
      options.LOCATION === 'relative'
        ? undefined
        : (forwarded?.origin ?? directOrigin(request, options.LOCATION === 'absolute'))
    return {
      origin: forwarded?.origin,
      location: (path) => `${origin ?? ''}${prefix}${path}`,
      reference: (path) => prefix + path,
      link: (path) => `${configured?.origin ?? ''}${prefix}${path}`,
    }
  }
}

const baseOf = ({ origin, pathname }: URL): Base => ({ origin, prefix: prefixOf([pathname]) ?? '' })

/**
 * What a trusted proxy says of the address by which the client reached the first one, by `Forwarded` (RFC 7239) or
 * `X-Forwarded-*`. The first of a list is the nearest to the client. Undefined where none is trusted.
 */
function forwardedBase(request: Request): Base | undefined {
  const isTrusted: (address: string | undefined, hop: number) => boolean = request.app.get('trust proxy fn')
  if (!isTrusted(request.socket.remoteAddress, 0)) return undefined
  const first = (name: string) => listElements(request.get(name))[0]
  const standard = standardForwarded(first('forwarded'))
  const proto = standard.proto ?? first('x-forwarded-proto')
  const host = standard.host ?? first('x-forwarded-host') ?? request.get('host')
  return {
    origin: originOf(proto, host, first('x-forwarded-port')),
    // Each proxy adds what it has removed from the path.
    prefix: prefixOf(listElements(request.get('x-forwarded-prefix'))) ?? '',
  }
}

/** Each part may be missing: most proxies that send it tell `for` alone. */
function standardForwarded(element = ''): { proto?: string; host?: string } {
  const pairs = element.split(';').map((pair) => {
    const [name = '', value = ''] = pair.split('=', 2)
    return [name.trim().toLowerCase(), value.trim().replace(/^"(.*)"$/, '$1')]
  })
  return Object.fromEntries(pairs)
}

/** The port counts where the host has none, as `$host` of nginx, and where it is not that of the other scheme. */
function originOf(
  proto: string | undefined,
  host: string | undefined,
  port: string | undefined,
): string | undefined {
  // Of a WebSocket, as Traefik has it.
  const scheme = proto?.toLowerCase().replace(/^ws/, 'http')
  const parsed = parseHost(host)
  if ((scheme !== 'http' && scheme !== 'https') || !parsed) return undefined
  const isSaid = port !== undefined && !parsed.hasPort && port !== '80' && port !== '443'
  const full = isSaid ? parseHost(`${parsed.host}:${port}`) : parsed
  return full && `${scheme}://${full.host}`
}

/**
 * The origin that a client used which reached this server without a proxy, by its `Host`. Undefined for an invalid
 * host; and where the request shows a proxy, unless `isForced`.
 */
function directOrigin(request: Request, isForced: boolean): string | undefined {
  const hosts = request.headersDistinct.host ?? []
  const parsed = hosts.length === 1 ? parseHost(hosts[0]) : undefined
  if (!parsed || !isOriginForm(request)) return undefined
  if (!isForced && (showsProxy(request) || showsTls(request, parsed.host))) return undefined
  return `http://${parsed.host}`
}

/**
 * Whether something in front of this server has ended TLS, or speaks HTTP/1.0 as nginx does by default, without a
 * header that says so. Browsers send `Sec-Fetch-*` over TLS only, and pages of an `https` origin reach nothing else;
 * both except loopback names.
 */
function showsTls({ headers, httpVersion }: Request, host: string): boolean {
  if (httpVersion === '1.0') return true
  if (isLoopbackHost(host)) return false
  return headers['sec-fetch-site'] !== undefined || (headers.origin?.startsWith('https:') ?? false)
}
