import { Server } from '@tus/server'
import { type CancellationContext, ERRORS, type Upload } from '@tus/utils'
import { Ending } from '../ending.ts'
import { type PackageAnswer, type Running, running, runThrough } from './package-store.ts'

/** Headers that the package may read; we read all others. */
export type ReadHeaders = ReadonlySet<string>

/** What the package's handlers read of a request: not its body, which they would turn into a web stream. */
export type PackageRequest = {
  method: 'POST' | 'HEAD' | 'PATCH' | 'DELETE'
  headers: NodeJS.Dict<string | string[]>
  reads: ReadHeaders
}

const NO_HEADERS = new Headers()
/** The package's handlers return a response, which is not used. */
const UNREAD = new Response(null, { status: 204 })

/**
 * The handlers of `@tus/server` without its server, which would convert each request and response to web types. The
 * handlers check order, offsets and lengths; the engine reads Node's own request stream.
 */
export class PackageHandlers {
  readonly #handlers: Server['handlers']

  constructor(options: ConstructorParameters<typeof Server>[0]) {
    this.#handlers = new Server(options).handlers
    const { PATCH, POST, DELETE } = this.#handlers
    // A protected method, and the classes of the handlers are not exported: there is no other way to override it.
    for (const handler of [PATCH, POST]) Object.assign(handler, { writeToStore })
    for (const handler of [PATCH, POST, DELETE]) Object.assign(handler, { write: noteAnswer })
  }

  /** Runs the handler of the method. Fails with the engine's errors, or one of the package's `ERRORS`. */
  async run(request: PackageRequest, through: Running): Promise<PackageAnswer> {
    const { method, headers, reads } = request
    const url = `/${through.held.call.uploadId}`
    const get = (name: string) => (reads.has(name) ? (headers[name] ?? null) : null)
    // The handlers read only these members of the type.
    const webRequest = { method, url, headers: { get }, body: null } as unknown as Request
    const ending = new Ending(through.held.call.over)
    const context: CancellationContext = {
      signal: ending.signal,
      abort: () => ending.end(),
      cancel: () => ending.endSoon(),
    }
    try {
      const response = await runThrough(through, () =>
        this.#handlers[method].send(webRequest, context, NO_HEADERS),
      )
      const answer = through.answer ?? {
        status: response.status,
        headers: Object.fromEntries(response.headers),
      }
      // The rest of a body that was cut short is still arriving.
      if (ending.signal.aborted) answer.headers.Connection = 'close'
      return answer
    } finally {
      ending.close()
    }
  }
}

/** Replaces the package's way from a web stream to a store. */
async function writeToStore(
  _body: null,
  { offset }: Upload,
  maxBytes: number,
  { signal }: CancellationContext,
): Promise<number> {
  if (signal.aborted) throw ERRORS.ABORTED
  return await running().receive(offset, { maxBytes, signal })
}

/** Replaces the package's creation of a response. Its successful responses have no body. */
function noteAnswer(status: number, headers: Record<string, string> | Headers): Response {
  running().answer = { status, headers: headers instanceof Headers ? {} : headers }
  return UNREAD
}
