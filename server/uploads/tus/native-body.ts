import type { IncomingMessage, ServerResponse } from 'node:http'
import { Server } from '@tus/server'
import { type CancellationContext, ERRORS, type Upload } from '@tus/utils'
import { NodeRequest } from 'srvx/node'
import { writeToEngine } from './package-store.ts'

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
 * The package's server, with the engine fed from Node's own request stream. The package would turn that
 * into a web stream, back, and through two streams more, which costs more CPU than all the rest of a
 * byte's way.
 */
export class NativeBodyServer extends Server {
  constructor(options: ConstructorParameters<typeof Server>[0]) {
    super(options)
    for (const handler of [this.handlers.PATCH, this.handlers.POST]) {
      // Protected, and the classes of the handlers are not exported: there is no other way to override it.
      Object.assign(handler, {
        async writeToStore(_body: null, upload: Upload, maxBytes: number, context: CancellationContext) {
          if (context.signal.aborted) throw ERRORS.ABORTED
          return await writeToEngine(upload, maxBytes, context)
        },
      })
    }
  }
}
