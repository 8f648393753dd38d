import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { emptyDirectory, type SubjectPlace, s3Environment } from './place.ts'
import { type PeerName, type Running, type Subject, startForeign, startProgram } from './subject.ts'

/** A server of others that Landfall is measured beside. */
export type Peer = { name: PeerName; start(place: SubjectPlace): Promise<Subject> }

/** The stock tus server with its stock store. */
export const stock: Peer = {
  name: 'stock',
  async start(place) {
    await mkdir(place.directory, { recursive: true })
    const program = join(import.meta.dirname, place.bucket ? 'stock-s3.ts' : 'stock-disk.ts')
    return subject('stock', place, await startProgram(program, [], environmentOf(place)))
  },
}

/** The least that a server in Node can do: see raw.ts. On disk only. */
export const raw: Peer = {
  name: 'raw',
  async start(place) {
    if (place.bucket) throw new Error('raw stores on disk only')
    await mkdir(place.directory, { recursive: true })
    const program = join(import.meta.dirname, 'raw.ts')
    return subject('raw', place, await startProgram(program, [], environmentOf(place)))
  },
}

/** The tus server in Go, from its `program`, with the options that it has by default. */
export const tusd = (program: string): Peer => ({
  name: 'tusd',
  async start(place) {
    const { directory, bucket } = place
    await mkdir(directory, { recursive: true })
    const storage = bucket
      ? ['-s3-bucket', bucket.name, '-s3-endpoint', bucket.endpoint]
      : ['-upload-dir', directory]
    const args = ['-host', '127.0.0.1', '-port', '0', ...storage]
    return subject('tusd', place, await startForeign(program, args, environmentOf(place)))
  },
})

const environmentOf = ({ directory, bucket }: SubjectPlace): Record<string, string> => ({
  BENCH_DIRECTORY: directory,
  // Both stores for S3 gather parts in temporary files, and leave them behind when they are ended.
  TMPDIR: directory,
  ...(bucket ? s3Environment(bucket) : {}),
})

const subject = (name: PeerName, { directory }: SubjectPlace, running: Running): Subject => ({
  name,
  headers: {},
  databasePid: undefined,
  removeFiles: () => emptyDirectory(directory),
  ...running,
})
