import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import helmet from 'helmet'

/** The headers that helmet gives every answer. `contentOrigin`: where content is redirected to, if anywhere. */
export function securityHeaders(contentOrigin: string | undefined): Map<string, string> {
  const content = contentOrigin === undefined ? [] : [contentOrigin]
  const setHeaders = helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'self'"],
        imgSrc: ["'self'", 'blob:', 'data:', ...content],
        mediaSrc: ["'self'", 'blob:', ...content],
        objectSrc: ["'none'"],
        baseUri: ["'none'"],
        formAction: ["'self'"],
        frameAncestors: ["'none'"],
      },
    },
    // Plain HTTP on loopback is a normal setup; a proxy that ends TLS sets this header.
    strictTransportSecurity: false,
    crossOriginResourcePolicy: { policy: 'cross-origin' },
  })
  const headers = new Map<string, string>()
  // They are the same for every request, so one that nobody sent tells them.
  const request = new IncomingMessage(new Socket())
  const response = new ServerResponse(request)
  response.setHeader = (name, value) => {
    headers.set(name, String(value))
    return response
  }
  setHeaders(request, response, (error) => {
    if (error) throw error
  })
  return headers
}
