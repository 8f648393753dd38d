import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { Readable } from 'node:stream'

/** A fake clamd on a free port of loopback, which does with each connection what it is told. Its test closes it. */
export async function listenAsClamd(behave: (socket: Socket) => void): Promise<Server> {
  const fake = createServer((socket) => {
    socket.on('error', () => {
      // The scanner may hang up while the fake still writes.
    })
    behave(socket)
  })
  fake.listen(0, '127.0.0.1')
  await once(fake, 'listening')
  return fake
}

export const addressOf = (fake: Server) => ({
  host: '127.0.0.1',
  port: (fake.address() as AddressInfo).port,
})

/** Bytes that are made as they are read, in buffers of their own, as from a file. */
export function sourceOf(bytes: number): Readable {
  function* chunks(): Generator<Uint8Array> {
    for (let left = bytes; left > 0; left -= 256 * 1024) yield Buffer.alloc(Math.min(left, 256 * 1024), 'x')
  }
  return Readable.from(chunks())
}

/** Calls back when the end of an INSTREAM has come: a chunk of length zero. */
export function afterStream(socket: Socket, then: () => void): void {
  let pending: Buffer<ArrayBufferLike> = Buffer.alloc(0)
  let skip = 'zINSTREAM\0'.length
  socket.on('data', (data: Buffer) => {
    pending = pending.length === 0 ? data : Buffer.concat([pending, data])
    while (pending.length > 0) {
      if (skip > 0) {
        const skipped = Math.min(skip, pending.length)
        pending = pending.subarray(skipped)
        skip -= skipped
      } else if (pending.length < 4) {
        return
      } else {
        skip = pending.readUInt32BE(0)
        pending = pending.subarray(4)
        if (skip === 0) return then()
      }
    }
  })
}
