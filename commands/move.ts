import { MEDIA_QUEUES } from '../jobs/queues.ts'
import type { Backend } from '../ledger/storage-places.ts'
import { FORMER_KEPT_MS } from '../ledger/stray-copies.ts'
import { withProgress } from '../server/backup/progress.ts'
import { ConfigError } from '../server/config.ts'
import { messageOf } from '../server/process/message-of.ts'
import { keyPrefixesOf, storageOptionsOf } from '../server/storage-options.ts'
import { type MoveOutcome, moveAll } from '../storage/moving/move-all.ts'
import { openStorage } from '../storage/storage.ts'
import { StorageFull, StorageUnavailable } from '../storage/store/objects.ts'
import { type Command, textOption, UsageError } from './command.ts'
import { type LedgerCommand, withLedger } from './with-ledger.ts'

/** Moves finished files between disk and bucket, while servers that have the settings of both run. */
export const command: Command = {
  usage: '--to s3|disk',
  details: [
    '  --to  the destination',
    'Requires the settings of both: DATA_DIR, and S3_BUCKET with its credentials. Servers with the same settings may keep running.',
    'Each file is copied, verified by its SHA-256, and then served from the destination. After an interruption, run it again.',
    'STORAGE decides where new uploads go: change it first. Exits 1 when files are left.',
  ],
  options: { to: { type: 'string' } },
  async run(call) {
    const to = textOption(call, 'to')
    if (to !== 's3' && to !== 'disk') throw new UsageError('move takes --to s3 or --to disk')
    return await withLedger(call.env, 'move', async (command) => {
      const outcome = await moveTo(command, to)
      const { damaged, failed, left, stoppedBy, ...moved } = outcome
      const isDone =
        damaged.length + failed.length === 0 &&
        stoppedBy === undefined &&
        Object.values(left).every((count) => count === 0)
      const json = {
        ...{ to, ...moved, damaged, left },
        failed: failed.map(({ mediaId, error }) => ({ mediaId, detail: reasonOf(error) })),
        stoppedBy: stoppedBy === undefined ? null : reasonOf(stoppedBy),
      }
      return { code: isDone ? 0 : 1, lines: linesOf(outcome, to), json }
    })
  },
}

const otherOf = (backend: Backend): Backend => (backend === 's3' ? 'disk' : 's3')

async function moveTo({ config, db, onError, releasers }: LedgerCommand, to: Backend): Promise<MoveOutcome> {
  if (to === 's3' && config.S3_BUCKET === undefined) {
    throw new ConfigError(['S3_BUCKET: "" is not accepted; move --to s3 takes the name of a bucket'])
  }
  const storage = await openStorage(storageOptionsOf(config), db, { onError, target: to })
  releasers.add('storage', () => storage.close())
  const progress = { moved: 0, bytes: 0 }
  const line = () => `move: ${progress.moved}, ${Math.round(progress.bytes / 1e6)} MB`
  const signal = new AbortController().signal
  const options = { db, storage, keyPrefixes: keyPrefixesOf(config), queues: MEDIA_QUEUES, signal }
  return await withProgress(line, () => moveAll(options, { from: otherOf(to), to }, progress))
}

const reasonOf = (error: unknown): string => {
  const isStorage = error instanceof StorageUnavailable || error instanceof StorageFull
  return isStorage && error.cause !== undefined
    ? `${error.message} (${messageOf(error.cause)})`
    : messageOf(error)
}

function linesOf(outcome: MoveOutcome, to: Backend): string[] {
  const { moved, bytes, damaged, failed, stoppedBy, left } = outcome
  const from = otherOf(to)
  const notMoved = [...damaged, ...failed.map(({ mediaId, error }) => ({ mediaId, detail: reasonOf(error) }))]
  const others = Math.max(0, left.atRest - notMoved.length + left.processing)
  return [
    `moved to ${to}: ${moved} media items, ${bytes} bytes`,
    ...(moved > 0
      ? [
          `a worker removes the original copies in ${FORMER_KEPT_MS / 60_000} minutes; it needs the settings of both storages`,
        ]
      : []),
    ...notMoved.map(({ mediaId, detail }) => `not moved: media item ${mediaId}: ${detail}`),
    ...(notMoved.length > 0
      ? [`not moved: ${damaged.length} that are damaged, ${failed.length} that failed`]
      : []),
    ...(stoppedBy !== undefined
      ? [`stopped (${reasonOf(stoppedBy)}): ${others} other media items are left on ${from}: run it again`]
      : others > 0
        ? [`${others} media items are being processed on ${from}: run it again when they are not`]
        : []),
    ...(left.open > 0
      ? [`${left.open} uploads are still open on ${from}: run it again when they have ended`]
      : []),
  ]
}
