import type { IncomingMessage } from 'node:http'
import { isOriginForm } from '../http/routing.ts'

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i

/**
 * Parts of header names that proxies, balancers, gateways and CDNs add; browsers and command-line clients send none of
 * them.
 */
const ADDED_BY_PROXIES = [
  /forward/,
  /^via$/,
  /proxy/,
  /real-?ip/,
  /(client|remote|originating|connecting|cluster)-?(ip|addr|host|port|user|cert)/,
  /^x-(original|rewrite|host|scheme|url-scheme|ssl|tls|request-start|varnish|cache|azure|arr|appengine|vercel|nf|fly)/,
  /^(front-end-https|cdn-loop|max-forwards|surrogate-capability|ssl-client|x-front-end-https)/,
  /^(cf|fastly|fly|akamai|x-akamai|x-envoy|x-amzn|x-amz-cf|x-cloud|x-goog|x-sucuri|x-traefik|x-forwarder)-/,
]

/**
 * Whether a request came directly, under a loopback name, as far as it shows: headers prove nothing, so this only
 * excludes requests that show another way.
 */
export function isDirectRequest(request: IncomingMessage & { originalUrl: string }): boolean {
  // The absolute form (RFC 9112 § 3.2.2) is for proxies, and names another host.
  if (!isOriginForm(request)) return false
  const hosts = request.headersDistinct.host ?? []
  if (hosts.length !== 1 || !LOOPBACK.test(hosts[0] ?? '')) return false
  return !Object.keys(request.headers).some((name) => {
    const dashed = name.replaceAll('_', '-')
    return ADDED_BY_PROXIES.some((pattern) => pattern.test(dashed))
  })
}
