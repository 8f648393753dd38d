import { ContentRejected } from '../../content/verdict.ts'
import type { Lease } from '../../ledger/lease-keeper.ts'
import type { TailRow } from '../../ledger/stored-parts.ts'
import type { UploadRow } from '../../ledger/uploads.ts'
import { freeChunk } from '../../system/free-chunk.ts'
import { LeaseLost } from '../store/outcomes.ts'
import type { Append } from '../store/upload-store.ts'
import type { BlockUser } from './block-pool.ts'
import { PartBuffer } from './part-buffer.ts'
import { S3Writer, type S3WriterOptions, type Stored, type Tail } from './s3-writer.ts'

export type S3AppendOptions = S3WriterOptions & {
  /** Removes tails that do not count any more, in the background. */
  deleteTails: (upload: UploadRow, keys: readonly string[]) => void
  /** Removes tails of a request that did not learn whether they count, unless they do. */
  abandonTails: (upload: UploadRow, lease: Lease, keys: readonly string[]) => void
}

export type S3AppendRequest = {
  append: Append
  partSize: number
  /** Tails of the part in which the offset lies, from its first byte on. */
  tails: readonly TailRow[]
}

/** Bytes `[from, to)` that are being sent to the bucket. */
type PendingWrite = { from: number; to: number; stored: Stored | undefined; settled: Promise<void> }

const MAX_IN_FLIGHT = 4
/** A part with more tails has them joined, so that no part needs hundreds of reads. */
const MAX_TAILS = 16
const LEASE_CHECK_MS = 1_000

/**
 * Sends the bytes of one request to the bucket. They are gathered in blocks; a full part is sent while the next is
 * gathered. Writes are recorded in the ledger in the order of their offsets only, so there is never a gap: the client
 * sends again what followed a failed write, into the same parts.
 */
export class S3Append implements BlockUser {
  readonly #options: S3AppendOptions
  readonly #append: Append
  readonly #partSize: number
  readonly #pending: PendingWrite[] = []
  readonly #writer: S3Writer
  readonly #abort = new AbortController()
  #buffer = new PartBuffer()
  #tails: Tail[]
  /** Offsets of the first byte in the buffer, and after its last. */
  #from: number
  #to: number
  #committing: Promise<void> | undefined
  #isEnding = false
  #isCommitted = false
  #failure: { error: unknown } | undefined
  fedAt = performance.now()

  constructor(options: S3AppendOptions, request: S3AppendRequest) {
    this.#options = options
    const { append, partSize, tails } = request
    this.#append = append
    this.#partSize = partSize
    this.#from = this.#to = append.upload.offset
    this.#tails = tails.map((row) => ({
      offset: row.offset,
      size: row.size,
      row: Promise.resolve(row),
    }))
    this.#writer = new S3Writer(options, append, partSize, this.#abort.signal)
  }

  get idleBlocks(): number {
    return this.#buffer.size > 0 ? this.#buffer.blockCount : 0
  }

  /** Called when another request needs memory. */
  spill(): void {
    if (this.#buffer.size > 0 && !this.#isEnding) this.#sendTail()
  }

  /**
   * Stores all of `source` after the upload's offset. Resolves with the new offset once the ledger has it. When the
   * source or the bucket fails, bytes that arrived before are kept as far as possible, and the failure is thrown.
   */
  async run(source: AsyncIterable<Uint8Array>): Promise<number> {
    const { pool } = this.#options
    const { lease, upload } = this.#append
    const watch = setInterval(() => {
      // A running call must not arrive after a takeover.
      if (!lease.isCurrent() && !this.#isCommitted) this.#abort.abort(new LeaseLost())
    }, LEASE_CHECK_MS)
    pool.enter(this)
    try {
      const failure = await this.#receive(source)
      const countsNot = failure instanceof ContentRejected || (this.#append.isAtomic && failure !== undefined)
      if (!countsNot) await this.#flush()
      this.#isEnding = true
      // Blocks that are not sent any more are free for others.
      pool.give(this.#buffer.release())
      await this.#settle()
      if (countsNot) throw failure
      await this.#commitLast()
      if (this.#failure) throw this.#failure.error
      if (failure !== undefined) throw failure
      return upload.offset
    } finally {
      clearInterval(watch)
      pool.give(this.#buffer.release())
      pool.leave(this)
      this.#abandonLeftovers()
    }
  }

  async #receive(source: AsyncIterable<Uint8Array>): Promise<unknown> {
    const { upload, lease } = this.#append
    let received = upload.offset
    try {
      for await (const chunk of source) {
        if (!lease.isCurrent()) throw new LeaseLost()
        received += chunk.byteLength
        this.#append.received(received)
        await this.#gather(chunk)
      }
    } catch (error) {
      return error
    }
    return undefined
  }

  async #gather(chunk: Uint8Array): Promise<void> {
    for (let rest = chunk; rest.byteLength > 0; ) {
      if (this.#buffer.room === 0) {
        await this.#fewerInFlight()
        const blocks = await this.#options.pool.take(1)
        // Only after the wait, during which the buffer may have been spilled.
        for (const block of blocks) this.#buffer.addBlock(block)
      }
      if (this.#failure) throw this.#failure.error
      const bytes = rest.subarray(0, Math.min(this.#buffer.room, this.#partEnd - this.#to))
      this.#buffer.append(bytes)
      this.#to += bytes.byteLength
      this.fedAt = performance.now()
      rest = rest.subarray(bytes.byteLength)
      if (this.#to === this.#partEnd) await this.#sendPart()
    }
    freeChunk(chunk)
  }

  /** Offset after the part in which the buffer lies. */
  get #partEnd(): number {
    const partSize = this.#partSize
    return (Math.floor(this.#from / partSize) + 1) * partSize
  }

  /** Back-pressure: limits the pending writes of one upload. */
  async #fewerInFlight(): Promise<void> {
    const partSize = this.#partSize
    const most = Math.max(
      1,
      Math.min(MAX_IN_FLIGHT, Math.floor(this.#options.s3.options.memoryBudget / 4 / partSize)),
    )
    const flying = () => this.#pending.filter(({ stored }) => stored === undefined)
    while (flying().length >= most && !this.#failure) await flying()[0]?.settled
  }

  /** Sends what was gathered: the last part of the file, or a tail. */
  async #flush(): Promise<void> {
    const { upload } = this.#append
    if (this.#failure) return
    const isComplete = this.#append.endsAt(this.#to)
    if (isComplete && (this.#buffer.size > 0 || this.#tails.length > 0 || upload.size === 0))
      await this.#sendPart()
    else if (this.#buffer.size > 0) this.#sendTail()
  }

  async #sendPart(): Promise<void> {
    // While it is sent its blocks cannot be asked back: wait before for what it needs.
    const isFirst = this.#from < this.#partSize
    const ready = [...this.#tails.map((tail) => tail.row), isFirst ? undefined : this.#writer.opened]
    await Promise.all(ready).catch((error: unknown) => this.#fail(error))
    if (this.#failure) return
    const tails = this.#tails
    this.#tails = []
    // All of it may have become a tail during the wait.
    const start = tails[0]?.offset ?? this.#from
    const number = Math.floor(start / this.#partSize) + 1
    this.#send((body, from, to) => this.#writer.storePart(number, tails, body, from, to))
  }

  #sendTail(): void {
    const { promise, resolve, reject } = Promise.withResolvers<TailRow>()
    promise.catch(() => {})
    const earlier = this.#tails.length < MAX_TAILS ? [] : this.#tails
    const offset = earlier[0]?.offset ?? this.#from
    this.#tails = [
      ...(earlier.length > 0 ? [] : this.#tails),
      { offset, size: this.#to - offset, row: promise },
    ]
    this.#send(async (body, from) => {
      try {
        const stored = await this.#writer.storeJoinedTail(earlier, body, from, offset)
        resolve(stored.tail)
        return stored
      } catch (error) {
        reject(error)
        throw error
      }
    })
  }

  /** Starts storing the buffer and begins a new one. Its blocks are returned when it is stored. */
  #send(store: (body: PartBuffer, from: number, to: number) => Promise<Stored>): void {
    const body = this.#buffer
    const from = this.#from
    const to = this.#to
    this.#buffer = new PartBuffer()
    this.#from = to
    const write: PendingWrite = { from, to, stored: undefined, settled: Promise.resolve() }
    this.#pending.push(write)
    write.settled = store(body, from, to)
      .then((stored) => {
        write.stored = stored
      })
      .catch((error: unknown) => this.#fail(error))
      .finally(() => {
        this.#options.pool.give(body.release())
        this.#commitReady()
      })
  }

  #fail(error: unknown): void {
    // Nothing after it can count any more.
    this.#options.pool.give(this.#buffer.release())
    this.#failure ??= { error: this.#abort.signal.aborted ? this.#abort.signal.reason : error }
  }

  /** Records all contiguous stored writes in the ledger while the request goes on. */
  #commitReady(): void {
    const append = this.#append
    if (append.isAtomic || this.#isEnding || this.#committing || this.#failure) return
    const ready = this.#storedWrites()
    const to = ready.at(-1)?.to
    // The final commit includes the last byte.
    if (to === undefined || append.endsAt(to)) return
    const commit = async () => {
      await this.#writer.recorded
      await append.checkpoint(to, rowsOf(ready))
      this.#counted(ready)
    }
    this.#committing = commit()
      .catch((error: unknown) => this.#fail(error))
      .finally(() => {
        this.#committing = undefined
        this.#commitReady()
      })
  }

  async #commitLast(): Promise<void> {
    const append = this.#append
    if (append.isAtomic && this.#failure) return
    const ready = this.#storedWrites()
    const to = ready.at(-1)?.to ?? append.upload.offset
    // Without new bytes there is nothing to commit, unless the upload is to be completed.
    if (ready.length === 0 && (!append.endsAt(to) || this.#failure)) return
    await this.#writer.recorded
    await append.inOwnerTurn(() => append.commit(to, rowsOf(ready)))
    this.#isCommitted = true
    this.#counted(ready)
  }

  /** The contiguous stored writes at the front. */
  #storedWrites(): PendingWrite[] {
    const gap = this.#pending.findIndex(({ stored }) => stored === undefined)
    return gap < 0 ? [...this.#pending] : this.#pending.slice(0, gap)
  }

  #counted(writes: readonly PendingWrite[]): void {
    this.#pending.splice(0, writes.length)
    for (const { stored } of writes)
      if (stored && 'tail' in stored) this.#writer.unconfirmed.delete(stored.tail.key)
    // Only now: until the ledger has the new offset, these are the acknowledged bytes.
    const { upload } = this.#append
    if (upload.state !== 'open') return
    this.#options.deleteTails(
      upload,
      writes.flatMap(({ stored }) => stored?.superseded ?? []),
    )
  }

  async #settle(): Promise<void> {
    for (const { settled } of [...this.#pending]) await settled
    await this.#committing
  }

  /** Tails of this request that never counted. Processing removes those of a finished upload. */
  #abandonLeftovers(): void {
    const { lease, upload } = this.#append
    const { unconfirmed } = this.#writer
    if (unconfirmed.size > 0) this.#options.abandonTails(upload, lease, [...unconfirmed])
  }
}

const rowsOf = (writes: readonly PendingWrite[]) => ({
  parts: writes.flatMap(({ stored }) => (stored && 'part' in stored ? [stored.part] : [])),
  tails: writes.flatMap(({ stored }) => (stored && 'tail' in stored ? [stored.tail] : [])),
})
