import type { IncomingMessage } from 'node:http'
import { isLoopbackHost } from '../http/host.ts'
import { showsProxy } from '../http/proxy-headers.ts'
import { isOriginForm } from '../http/routing.ts'

/**
 * Whether a request came directly, under a loopback name, as far as it shows: headers prove nothing, so this only
 * excludes requests that show another way.
 */
export function isDirectRequest(request: IncomingMessage & { originalUrl: string }): boolean {
  // The absolute form (RFC 9112 § 3.2.2) is for proxies, and names another host.
  if (!isOriginForm(request)) return false
  const hosts = request.headersDistinct.host ?? []
  if (hosts.length !== 1 || !isLoopbackHost(hosts[0] ?? '')) return false
  return !showsProxy(request)
}
