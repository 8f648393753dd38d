import { mkdir, rename, rm, rmdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { syncDirectory } from '../../storage/disk/disk-objects.ts'
import { isCode, onCode } from '../../system/error-code.ts'
import { namesIn } from '../../system/names-in.ts'
import { CommandFailure, failureOf } from '../process/command-failure.ts'
import { isMountPoint } from '../process/data-directory.ts'
import { messageOf } from '../process/message-of.ts'
import { openForReading, writeHashed } from './hashed-copy.ts'
import { CHECKSUMS, FORMAT, MANIFEST, type Manifest } from './layout.ts'

/** A backup that is being written, as `….partial`: it is renamed when it is complete and durable. */
export class ArchiveWriter {
  readonly #directory: string
  readonly #partial: string
  readonly #sums: string[] = []
  readonly #folders = new Set<string>()

  #isFinished = false

  private constructor(directory: string) {
    this.#directory = directory
    this.#partial = `${directory}.partial`
  }

  /** Fails with `CommandFailure` where something exists already. */
  static async create(directory: string): Promise<ArchiveWriter> {
    if (await isMountPoint(directory))
      throw new CommandFailure(
        `${directory} is a file system of its own, and a backup is renamed at the end: name a folder in it`,
      )
    const there = await namesIn(directory).catch((error: unknown) => {
      throw new CommandFailure(`${directory} cannot be a backup: ${messageOf(error)}`)
    })
    if (there.length > 0)
      throw new CommandFailure(`${directory} is not empty: a backup needs an empty folder`)
    const writer = new ArchiveWriter(directory)
    await mkdir(dirname(directory), { recursive: true }).catch((error: unknown) => {
      throw failureOf(error, `${dirname(directory)} cannot be made`)
    })
    await mkdir(writer.#partial, { mode: 0o700 }).catch((error: unknown) => {
      throw new CommandFailure(
        isCode(error, 'EEXIST')
          ? `${writer.#partial} is there: another backup is running, or was killed; remove it first`
          : `${writer.#partial} cannot be made: ${messageOf(error)}`,
      )
    })
    return writer
  }

  /** Adds a file with these bytes. The path is relative, with forward slashes. */
  async add(path: string, source: AsyncIterable<Uint8Array>): Promise<number> {
    const target = join(this.#partial, path)
    await this.#makeFolder(dirname(target))
    const { sha256, bytes } = await writeHashed(target, source)
    this.#sums.push(`${sha256}  ${path}\n`)
    return bytes
  }

  /** Adds a copy of a file, and returns its bytes; undefined where it no longer exists. */
  async copy(path: string, from: string): Promise<number | undefined> {
    const source = await openForReading(from).catch(onCode(['ENOENT'], undefined))
    return source && (await this.add(path, source))
  }

  /** Completes the backup. Returns its manifest. */
  async finish(described: Omit<Manifest, 'format' | 'checksumsSha256'>): Promise<Manifest> {
    const { sha256 } = await writeHashed(join(this.#partial, CHECKSUMS), chunksOf(this.#sums))
    for (const folder of this.#folders) await syncDirectory(folder)
    const manifest: Manifest = { format: FORMAT, ...described, checksumsSha256: sha256 }
    const text = `${JSON.stringify(manifest, undefined, 2)}\n`
    await writeHashed(join(this.#partial, MANIFEST), chunksOf([text]))
    await syncDirectory(this.#partial)
    // An empty folder in its place may be a mount point, or was made for it.
    await rmdir(this.#directory).catch(() => {
      // Usually it does not exist; where it is in use, renaming fails.
    })
    await rename(this.#partial, this.#directory)
    this.#isFinished = true
    await syncDirectory(dirname(this.#directory))
    return manifest
  }

  /** Removes an unfinished backup. */
  async abandon(): Promise<void> {
    if (this.#isFinished) return
    await rm(this.#partial, { recursive: true, force: true, maxRetries: 3 })
  }

  async #makeFolder(folder: string): Promise<void> {
    if (this.#folders.has(folder)) return
    await mkdir(folder, { recursive: true, mode: 0o700 })
    this.#folders.add(folder)
  }
}

/** Texts as the bytes of a file. */
export async function* chunksOf(texts: Iterable<string>): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text)
}
