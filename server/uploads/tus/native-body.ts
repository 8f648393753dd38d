import type { IncomingMessage, ServerResponse } from 'node:http'
import { Server } from '@tus/server'
import { type CancellationContext, type DataStore, ERRORS, type Upload } from '@tus/utils'
import { NodeRequest } from 'srvx/node'
import type { BodyLimits } from '../request-body.ts'

/** A store that takes bytes from any source, not only from a stream of Node's. */
type UploadStore = DataStore & {
  write(source: AsyncIterable<Uint8Array>, id: string, offset: number): Promise<number>
}

export type NativeBodyOptions = ConstructorParameters<typeof Server>[0] & {
  datastore: UploadStore
  /** The bytes that the running request brings. */
  bodyOf: (limits: BodyLimits) => AsyncIterable<Uint8Array>
}

/** A request for `@tus/server` without its body: asked for one, srvx would turn it into a web stream. */
export class BodilessRequest extends NodeRequest {
  constructor(incoming: IncomingMessage, response: ServerResponse) {
    super({ req: incoming, res: response })
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
  constructor(options: NativeBodyOptions) {
    super(options)
    for (const handler of [this.handlers.PATCH, this.handlers.POST]) {
      // Protected, and the classes of the handlers are not exported: there is no other way to override it.
      Object.assign(handler, {
        writeToStore: (_body: null, upload: Upload, maxBytes: number, context: CancellationContext) =>
          write(options, upload, maxBytes, context),
      })
    }
  }
}

async function write(
  { datastore, bodyOf }: NativeBodyOptions,
  { id, offset }: Upload,
  maxBytes: number,
  { signal }: CancellationContext,
): Promise<number> {
  if (signal.aborted) throw ERRORS.ABORTED
  return await datastore.write(bodyOf({ maxBytes, signal }), id, offset)
}
