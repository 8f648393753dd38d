/**
 * The floor: a bare `node:http` server that speaks as much tus as the client of the bench needs. As Landfall does
 * on disk, it writes a body as it arrives and forces the bytes to the disk before it answers. Nothing is checked,
 * there is no database, and an upload's file is all that is known of it.
 */
import { randomUUID } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { open, writeFile } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { given, listen } from './serving.ts'

const directory = given('BENCH_DIRECTORY')
/** What may wait in memory: what has waited is written at once, which takes a third less CPU than 64 KiB each. */
const WAITING_BYTES = 512 * 1024
const TUS = { 'Tus-Resumable': '1.0.0' }

await listen((request, response) => {
  const answered = request.method === 'POST' ? create(response) : append(request, response)
  answered.catch((error: unknown) => {
    process.stderr.write(`raw: ${String(error)}\n`)
    response.destroy()
  })
})

async function create(response: ServerResponse): Promise<void> {
  const id = randomUUID()
  await writeFile(join(directory, id), '', { flag: 'wx' })
  response.writeHead(201, { ...TUS, Location: `/files/${id}`, 'Content-Length': 0 }).end()
}

async function append(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const id = /^\/files\/([0-9a-f-]{36})$/.exec(request.url ?? '')?.[1]
  if (request.method !== 'PATCH' || id === undefined) throw new Error(`${request.method} ${request.url}`)
  const start = Number(request.headers['upload-offset'])
  const file = await open(join(directory, id), 'r+')
  try {
    const written = createWriteStream('', {
      fd: file.fd,
      start,
      autoClose: false,
      highWaterMark: WAITING_BYTES,
    })
    // A body that arrives faster than the disk takes it waits in the socket.
    await pipeline(request, written)
    await file.datasync()
    response.writeHead(204, { ...TUS, 'Upload-Offset': start + written.bytesWritten }).end()
  } finally {
    await file.close()
  }
}
