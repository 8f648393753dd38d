import { randomUUID } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { pipeline, type Readable, Transform } from 'node:stream'
import type { MediaRow } from '../../ledger/media.ts'
import { StorageFull } from '../../storage/store/objects.ts'
import { NoScratchSpace, type Scratch, withScratch } from './scratch.ts'

/** Smaller files are not worth it; larger ones would take the space of renditions. Each tool reads them in the bucket. */
const MIN_BYTES = 1024 ** 2
const MAX_BYTES = 2 * 1024 ** 3

/**
 * The file of a job, kept on this machine while the scanner reads it from the bucket. Tools read it here afterwards, so
 * that the bucket delivers it once.
 */
export class LocalCopy {
  readonly #path: string
  readonly #bytes: number
  #isWhole = false

  /** `bytes`: the size of the file. */
  constructor(folder: string, bytes: number) {
    this.#path = join(folder, 'file')
    this.#bytes = bytes
  }

  /** Undefined until all bytes have been kept, and after `drop`. */
  get path(): string | undefined {
    return this.#isWhole ? this.#path : undefined
  }

  /** Passes on what it reads, and keeps it. Where it cannot be written, it is only passed on. */
  keep(source: Readable): Readable {
    const file = createWriteStream(this.#path)
    let isWritable = true
    let written = 0
    file.on('error', () => {
      isWritable = false
    })
    const passing = new Transform({
      transform(chunk: Buffer, _encoding, done) {
        if (!isWritable) return done(null, chunk)
        written += chunk.length
        // At most one chunk waits to be written.
        file.write(chunk, () => done(null, chunk))
      },
      flush: (done) => {
        if (!isWritable) return done()
        file.end(() => {
          this.#isWhole = isWritable && written === this.#bytes
          done()
        })
      },
    })
    passing.once('close', () => file.destroy())
    pipeline(source, passing, () => {
      // Its reader has the error.
    })
    return passing
  }

  /** Tools read the bucket from now on. */
  drop(): void {
    this.#isWhole = false
  }
}

type Kept = Pick<MediaRow, 'id' | 'kind' | 'size' | 'storage_backend'>

/**
 * Runs `work`, with a copy where a video or sound is in a bucket and the disk has room for it. Images and documents are
 * read once by programs that cannot read a bucket themselves.
 */
export async function withLocalCopy(
  scratch: Scratch,
  media: Kept | undefined,
  work: (copy: LocalCopy | undefined) => Promise<void>,
): Promise<void> {
  if (!media || !isWorthIt(media)) return await work(undefined)
  let hasBegun = false
  // Another worker may have the media item, too: each has a copy of its own. Nothing waits for room.
  const room = { name: `${media.id}.copy-${randomUUID()}`, bytes: media.size }
  try {
    await withScratch({ ...scratch, waitsSince: undefined }, room, async (folder) => {
      hasBegun = true
      await work(new LocalCopy(folder, media.size))
    })
  } catch (error) {
    if (hasBegun || !(error instanceof StorageFull || error instanceof NoScratchSpace)) throw error
    await work(undefined)
  }
}

function isWorthIt({ kind, size, storage_backend }: Kept): boolean {
  const isPlayed = kind === 'video' || kind === 'audio'
  return isPlayed && storage_backend !== 'disk' && size >= MIN_BYTES && size <= MAX_BYTES
}
