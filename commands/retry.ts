import { openQueues, processingEnqueuer } from '../jobs/queues.ts'
import { parseMediaId } from '../ledger/ids.ts'
import { failedMedia, reprocessMedia } from '../ledger/reprocessing.ts'
import { type Command, UsageError } from './command.ts'
import { withLedger } from './with-ledger.ts'

/** Further failed ones are left to the next call. */
const MAX_ITEMS = 10_000

/** Processes media items again: those named, or all failed ones. */
export const command: Command = {
  usage: 'ID… | --all',
  details: [
    '  ID     a media item that failed',
    '  --all  all failed media items',
    'Exits 1 when a media item could not be queued.',
  ],
  options: { all: { type: 'boolean' } },
  takesPositionals: true,
  async run({ env, values, positionals: ids }) {
    const all = values.all === true
    if (all === ids.length > 0) throw new UsageError('retry takes the ids of media, or --all')
    return await withLedger(env, 'retry', async ({ db, onError, releasers }) => {
      const boss = await openQueues({ db, supervise: false, migrate: false, onError })
      releasers.add('queues', () => boss.stop({ close: false, graceful: false }))
      const enqueue = processingEnqueuer(boss)
      const media: { id: string; result: string; status?: string }[] = []
      for (const id of all ? await failedMedia(db, MAX_ITEMS) : ids) {
        const mediaId = parseMediaId(id)
        const result = mediaId
          ? await reprocessMedia(db, { id: mediaId, ownerId: undefined }, enqueue)
          : ({ kind: 'absent' } as const)
        media.push({ id, result: result.kind, ...(result.kind === 'over' ? { status: result.status } : {}) })
      }
      return {
        code: media.every(({ result }) => result === 'queued') ? 0 : 1,
        lines: media.map(({ id, result, status }) => `${id} ${sentence(result, status)}`),
        json: { media },
      }
    })
  },
}

function sentence(result: string, status: string | undefined): string {
  if (result === 'over') return `is ${status}: nothing to retry`
  return result === 'absent' ? 'is not there' : result
}
