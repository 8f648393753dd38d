import { type IncomingMessage, METHODS } from 'node:http'
import { Problem } from './errors.ts'
import { singleElement } from './list-header.ts'

const KNOWN: ReadonlySet<string> = new Set(METHODS)

/**
 * The method that a request asks for. tus 1.0 § X-HTTP-Method-Override: where the header is given, the server MUST take
 * the method that it names, whichever that is and whatever the request's own; what a path does not have is refused as
 * with the method itself. `'malformed'` where it names none.
 */
export function methodOf({ method = '', headers }: Pick<IncomingMessage, 'method' | 'headers'>): string {
  const text = headers['x-http-method-override']
  if (text === undefined) return method
  const single = singleElement(text)
  const named = single && single !== 'several' ? single.value.toUpperCase() : ''
  return KNOWN.has(named) ? named : 'malformed'
}

/** Lets a request be one of the method that it asks for. Fails with `invalid-header`. */
export function applyMethodOverride(request: IncomingMessage): void {
  const method = methodOf(request)
  if (method === 'malformed') {
    throw new Problem('invalid-header', 'X-HTTP-Method-Override takes the name of a method, such as PATCH.')
  }
  request.method = method
}
