import type { IncomingMessage } from 'node:http'

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

/** Whether a header shows that the request came through a proxy. Its absence proves nothing. */
export function showsProxy({ headers }: Pick<IncomingMessage, 'headers'>): boolean {
  return Object.keys(headers).some((name) => {
    const dashed = name.replaceAll('_', '-')
    return ADDED_BY_PROXIES.some((pattern) => pattern.test(dashed))
  })
}
