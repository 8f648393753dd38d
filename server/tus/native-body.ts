import type { IncomingMessage, ServerResponse } from 'node:http'
import { Server } from '@tus/server'
import { type CancellationContext, type DataStore, ERRORS, type Upload } from '@tus/utils'
import { NodeRequest } from 'srvx/node'
import { requestBody } from './request-body.ts'

/** A store that takes bytes from any source, not only from a stream of Node's. */
export type UploadStore = DataStore & {
  write(source: AsyncIterable<Uint8Array>, id: string, offset: number): Promise<number>
}

/** A request for `@tus/server` without its body: asked for one, srvx would turn it into a web stream. */
export class BodilessRequest extends NodeRequest {
  readonly incoming: IncomingMessage

  constructor(incoming: IncomingMessage, response: ServerResponse) {
    super({ req: incoming, res: response })
    this.incoming = incoming
  }

  override get body(): null {
    return null
  }
}

/**
 * The package's server, with its store fed from Node's own request stream. The package would turn that
 * into a web stream, back, and through two streams more, which costs more CPU than all the rest of a
 * byte's way.
 */
export class NativeBodyServer extends Server {
  /** Where the package's handlers write, they know a request by its context alone. */
  readonly #incoming = new WeakMap<CancellationContext, IncomingMessage>()

  constructor(options: ConstructorParameters<typeof Server>[0] & { datastore: UploadStore }) {
    super(options)
    for (const handler of [this.handlers.PATCH, this.handlers.POST]) {
      const send = handler.send.bind(handler)
      handler.send = (request, context, headers) => {
        if (request instanceof BodilessRequest) this.#incoming.set(context, request.incoming)
        return send(request, context, headers)
      }
      // Protected, and the classes of the handlers are not exported: there is no other way to override it.
      Object.assign(handler, {
        writeToStore: (_body: null, upload: Upload, maxBytes: number, context: CancellationContext) =>
          this.#write(options.datastore, upload, maxBytes, context),
      })
    }
  }

  async #write(
    store: UploadStore,
    upload: Upload,
    maxBytes: number,
    context: CancellationContext,
  ): Promise<number> {
    const incoming = this.#incoming.get(context)
    if (!incoming) throw new Error('not a request of this server')
    const { signal } = context
    if (signal.aborted) throw ERRORS.ABORTED
    return await store.write(requestBody(incoming, { maxBytes, signal }), upload.id, upload.offset)
  }
}
