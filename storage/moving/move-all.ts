import { setTimeout as sleep } from 'node:timers/promises'
import type { MediaId, UploadId } from '../../ledger/ids.ts'
import { countLeftToMove, mediaToMove } from '../../ledger/moves.ts'
import type { Backend } from '../../ledger/storage-places.ts'
import { inParallel } from '../../system/in-parallel.ts'
import { StorageUnavailable } from '../store/objects.ts'
import { type MoveOptions, moveUpload } from './move-upload.ts'

/** What a move has done so far. */
export type MoveProgress = { moved: number; bytes: number }

export type MoveOutcome = MoveProgress & {
  /** Media items whose bytes are not what was received: they stay where they are. */
  damaged: { mediaId: MediaId; detail: string }[]
  /** Media items that could not be moved this time. */
  failed: { mediaId: MediaId; error: unknown }[]
  /** Why it ended before every one had its turn; undefined when it did not. */
  stoppedBy: unknown
  left: { atRest: number; processing: number; open: number }
}

const PAGE = 100
const AT_ONCE = 4
/** Rounds in a row that move nothing, while somebody is at work on what is left. */
const FRUITLESS_ROUNDS = 10
const ROUND_MS = 1_000
/** So many failures with nothing moved between them are not of single media items. */
const FAILURES_IN_A_ROW = 20

/**
 * Moves every media item that rests in another backend, and those that come to rest meanwhile; then counts what is left.
 * What somebody is at work on has another turn at the end. One that fails does not keep the others; where a storage is
 * away, or one after the other fails, it stops.
 */
export async function moveAll(
  options: MoveOptions,
  { from, to }: { from: Backend; to: Backend },
  progress: MoveProgress = { moved: 0, bytes: 0 },
): Promise<MoveOutcome> {
  const { db, signal } = options
  const damaged = new Map<MediaId, string>()
  const failed = new Map<MediaId, unknown>()
  let failedInARow = 0
  let stopped: { by: unknown } | undefined

  async function moveOne({ id, uploadId }: { id: MediaId; uploadId: UploadId }): Promise<void> {
    if (stopped || damaged.has(id) || failed.has(id)) return
    try {
      const result = await moveUpload(options, { uploadId, to })
      if (result.kind === 'damaged') damaged.set(id, result.detail)
      if (result.kind !== 'moved') return
      failedInARow = 0
      progress.moved += 1
      progress.bytes += result.bytes
    } catch (error) {
      signal.throwIfAborted()
      failed.set(id, error)
      failedInARow += 1
      if (failedInARow >= FAILURES_IN_A_ROW) stopped ??= { by: error }
      if (error instanceof StorageUnavailable && (await isAnyUnavailable(options))) stopped ??= { by: error }
    }
  }

  for (let fruitless = 0; fruitless < FRUITLESS_ROUNDS && !stopped; ) {
    const before = progress.moved
    for await (const page of pagesOf(options, from)) {
      await inParallel(page, AT_ONCE, moveOne)
      if (stopped) break
    }
    const left = await countLeftToMove(db, from)
    if (left.atRest <= damaged.size + failed.size && left.processing === 0) break
    fruitless = progress.moved > before ? 0 : fruitless + 1
    if (fruitless > 0 && !stopped) await sleep(ROUND_MS, undefined, { signal })
  }
  return {
    ...progress,
    damaged: [...damaged].map(([mediaId, detail]) => ({ mediaId, detail })),
    failed: [...failed].map(([mediaId, error]) => ({ mediaId, error })),
    stoppedBy: stopped?.by,
    left: await countLeftToMove(db, from),
  }
}

async function isAnyUnavailable({ storage }: MoveOptions): Promise<boolean> {
  for (const backend of ['disk', 's3'] satisfies Backend[]) {
    try {
      const objects = await storage.objectsOf({ storage_backend: backend })
      await objects.checkWritable()
    } catch {
      // Why, the failure that led here says.
      return true
    }
  }
  return false
}

async function* pagesOf({ db }: MoveOptions, from: Backend) {
  for (let after = ''; ; ) {
    const page = await mediaToMove(db, from, after, PAGE)
    yield page
    const last = page.at(-1)
    if (!last || page.length < PAGE) return
    after = last.id
  }
}
