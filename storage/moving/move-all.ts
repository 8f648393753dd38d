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
  /** Media items whose bytes are not what was received: they are not moved. */
  damaged: { mediaId: MediaId; detail: string }[]
  /** Media items that could not be moved this time. */
  failed: { mediaId: MediaId; error: unknown }[]
  /** Why it ended early; undefined when it did not. */
  stoppedBy: unknown
  left: { atRest: number; processing: number; open: number }
}

const PAGE = 100
const AT_ONCE = 4
/** Rounds in a row that move nothing while jobs run for what is left. */
const FRUITLESS_ROUNDS = 10
const ROUND_MS = 1_000
/** This many failures in a row are not the fault of single media items. */
const FAILURES_IN_A_ROW = 20

/**
 * Moves every media item at rest from the other backend, including those that finish processing meanwhile; then counts
 * what is left. Busy ones are tried again at the end. A failure of one does not stop the others; it stops where a
 * storage is unavailable, or many fail in a row.
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
      // The original failure is reported.
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
