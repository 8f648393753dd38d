import { once } from 'node:events'
import { type AddressInfo, createServer, connect as dial, type Socket } from 'node:net'

export type StatementCounter = {
  /** The database, through the counter. */
  connectionString: string
  /** Texts of the statements since the last call. */
  take(): string[]
  close(): Promise<void>
}

/** First of a connection: it has no type. */
const STARTUP = 'startup'

/** A proxy before a Postgres that notes every statement that a client has executed, `begin` and `commit` among them. */
export async function countStatements(connectionString: string): Promise<StatementCounter> {
  const target = new URL(connectionString)
  let statements: string[] = []
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const upstream = dial(Number(target.port), target.hostname)
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        client.destroy()
        upstream.destroy()
      })
    }
    const read = reader((statement) => statements.push(statement))
    client.on('data', read)
    client.pipe(upstream)
    upstream.pipe(client)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    connectionString: Object.assign(new URL(connectionString), {
      host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    }).href,
    take() {
      const taken = statements
      statements = []
      return taken
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

/** Reads the messages of a client: https://www.postgresql.org/docs/current/protocol-message-formats.html */
function reader(onStatement: (text: string) => void): (chunk: Buffer) => void {
  let pending: Buffer = Buffer.alloc(0)
  let state: typeof STARTUP | 'messages' = STARTUP
  let parsed = ''
  return (chunk) => {
    pending = Buffer.concat([pending, chunk])
    for (;;) {
      const head = state === STARTUP ? 0 : 1
      if (pending.length < head + 4) return
      const length = head + pending.readInt32BE(head)
      if (pending.length < length) return
      const type = state === STARTUP ? '' : String.fromCharCode(pending.readUInt8(0))
      const body = pending.subarray(head + 4, length)
      pending = pending.subarray(length)
      state = 'messages'
      if (type === 'Q') onStatement(body.toString().replaceAll('\0', ''))
      // Name of the prepared statement, then its text.
      if (type === 'P') parsed = body.toString().split('\0')[1] ?? ''
      if (type === 'E') onStatement(parsed)
    }
  }
}
