import { setTimeout as sleep } from 'node:timers/promises'
import type { MediaId } from '../../ledger/ids.ts'
import { leftToMove, mediaToMove } from '../../ledger/moves.ts'
import type { Backend } from '../../ledger/storage-places.ts'
import { inParallel } from '../in-parallel.ts'
import { type MoveOptions, moveUpload } from './move-upload.ts'

/** What a move has done so far. */
export type MoveProgress = { moved: number; bytes: number }

export type MoveOutcome = MoveProgress & {
  /** Media items whose bytes are not what was received: they stay where they are. */
  damaged: { mediaId: MediaId; detail: string }[]
  left: { atRest: number; processing: number; open: number }
}

const PAGE = 100
const AT_ONCE = 4
/** Rounds in a row that move nothing, while somebody is at work on what is left. */
const FRUITLESS_ROUNDS = 10
const ROUND_MS = 1_000

/**
 * Moves every media item that rests in another backend, and those that come to rest meanwhile; then counts what is left.
 * What somebody is at work on has another turn at the end. Fails as storages do that are away or full.
 */
export async function moveAll(
  options: MoveOptions,
  { from, to }: { from: Backend; to: Backend },
  progress: MoveProgress = { moved: 0, bytes: 0 },
): Promise<MoveOutcome> {
  const { db } = options
  const damaged = new Map<MediaId, string>()
  for (let fruitless = 0; fruitless < FRUITLESS_ROUNDS; ) {
    const before = progress.moved
    for await (const page of pagesOf(options, from)) {
      await inParallel(page, AT_ONCE, async ({ id, uploadId }) => {
        if (damaged.has(id)) return
        const result = await moveUpload(options, { uploadId, to })
        if (result.kind === 'damaged') damaged.set(id, result.detail)
        if (result.kind !== 'moved') return
        progress.moved += 1
        progress.bytes += result.bytes
      })
    }
    const left = await leftToMove(db, from)
    if (left.atRest <= damaged.size && left.processing === 0) break
    fruitless = progress.moved > before ? 0 : fruitless + 1
    if (fruitless > 0) await sleep(ROUND_MS, undefined, { signal: options.signal })
  }
  return {
    ...progress,
    damaged: [...damaged].map(([mediaId, detail]) => ({ mediaId, detail })),
    left: await leftToMove(db, from),
  }
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
