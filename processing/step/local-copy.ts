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

type Kept = Pick<MediaRow, 'id' | 'kind' | 'size' | 'storage_backend'>

/**
 * The file of a job, kept on this machine while the scanner reads it from the bucket. Tools read it here afterwards, so
 * that the bucket delivers it once.
 */
export class LocalCopy {
  readonly #scratch: Scratch
  #path: string | undefined
  #release = () => {}
  #holding: Promise<void> | undefined

  /** To be closed by its maker. */
  constructor(scratch: Scratch) {
    this.#scratch = scratch
  }

  /** Undefined until all bytes have been kept, and after `drop`. */
  get path(): string | undefined {
    return this.#path
  }

  /**
   * Returns what reads the same bytes, and keeps a video or sound of a bucket meanwhile, where the disk has room for it.
   * Programs that cannot read a bucket themselves fetch images and documents. At most once.
   */
  async keep(media: Kept, source: Readable): Promise<Readable> {
    const folder = isWorthIt(media) ? await this.#claim(media) : undefined
    return folder === undefined ? source : this.#keepIn(join(folder, 'file'), media.size, source)
  }

  /** Tools read the bucket from now on. */
  drop(): void {
    this.#path = undefined
  }

  /** Removes it. */
  async close(): Promise<void> {
    this.drop()
    this.#release()
    await this.#holding
  }

  /** Returns its scratch folder; undefined where there is no room. Another worker may have the file, too. */
  #claim({ id, size }: Kept): Promise<string | undefined> {
    return new Promise((resolve, reject) => {
      // Nothing waits for room.
      const scratch = { ...this.#scratch, waitsSince: undefined }
      const room = { name: `${id}.copy-${randomUUID()}`, bytes: size }
      this.#holding = withScratch(scratch, room, (folder) => {
        resolve(folder)
        return new Promise<void>((end) => {
          this.#release = end
        })
      }).catch((error: unknown) => {
        const isFull = error instanceof StorageFull || error instanceof NoScratchSpace
        return isFull ? resolve(undefined) : reject(error)
      })
    })
  }

  #keepIn(path: string, bytes: number, source: Readable): Readable {
    const file = createWriteStream(path)
    let isWritable = true
    let written = 0
    // Where it cannot be written, the bytes are only passed on.
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
          if (isWritable && written === bytes) this.#path = path
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
}

function isWorthIt({ kind, size, storage_backend }: Kept): boolean {
  const isPlayed = kind === 'video' || kind === 'audio'
  return isPlayed && storage_backend !== 'disk' && size >= MIN_BYTES && size <= MAX_BYTES
}
