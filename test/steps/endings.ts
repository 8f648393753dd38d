import { sql } from 'kysely'
import { QUEUES } from '../../jobs/queues.ts'
import { asUploadId } from '../support/ids.ts'
import { betweenLooks } from '../support/pauses.ts'
import type { Sent, Stage } from './stage.ts'

const POLL_MS = 200
/** Without a file that becomes ready: a killed worker's job is given to another after twenty seconds, at most. */
const STANDSTILL_MS = 180_000
/** A webhook whose sender was killed is sent again after half a minute. */
const SETTLING_MS = 120_000
const ORPHANS_MS = 30_000

/** Queues whose jobs may be dropped: they are asked for again every minute. */
export const DROPPABLE: readonly string[] = [QUEUES.reaping, QUEUES.sweeping]

/** Waits until all of these files are ready, and nothing of them waits to be done or told. */
export async function untilEnded(stage: Stage, sent: readonly Sent[]): Promise<void> {
  await untilReady(stage, sent)
  await untilSettled(stage)
}

/** Fails as soon as one of them has ended otherwise, and when a worker has ended by itself. */
export async function untilReady(stage: Stage, sent: readonly Sent[]): Promise<void> {
  let ready = -1
  let deadline = 0
  while (sent.length > 0) {
    stage.crew.check()
    const rows = await stage.landfall.db
      .selectFrom('landfall.media')
      .select(['upload_id', 'status', 'reason'])
      .where('upload_id', 'in', sent.map(({ uploadId }) => uploadId).map(asUploadId))
      .execute()
    const wrong = rows.filter(({ status }) => status !== 'processing' && status !== 'ready')
    if (wrong.length > 0) throw new Error(`ended wrongly: ${JSON.stringify(wrong)}`)
    const count = rows.filter(({ status }) => status === 'ready').length
    if (count === sent.length) return
    if (count > ready) {
      ready = count
      deadline = performance.now() + STANDSTILL_MS
    }
    if (performance.now() > deadline) {
      const late = rows.filter(({ status }) => status !== 'ready').map((row) => row.upload_id)
      throw new Error(
        `not ready: ${JSON.stringify(await stepsOf(stage, late))}, jobs: ${JSON.stringify(await openJobs(stage))}`,
      )
    }
    await betweenLooks(POLL_MS)
  }
}

/** Waits until there is no job and no webhook that waits or runs, and what killed workers have left has ended. */
export async function untilSettled(stage: Stage): Promise<void> {
  const { crew, landfall } = stage
  const deadline = performance.now() + SETTLING_MS
  for (;;) {
    crew.check()
    const jobs = await openJobs(stage)
    const pending = await landfall.db
      .selectFrom('landfall.webhook_deliveries')
      .select(['id', 'type', 'attempts', 'last_error'])
      .where('status', '=', 'pending')
      .execute()
    if (jobs.length === 0 && pending.length === 0) break
    if (performance.now() > deadline)
      throw new Error(`left to do: ${JSON.stringify(jobs)}, left to tell: ${JSON.stringify(pending)}`)
    await betweenLooks(POLL_MS)
  }
  await crew.untilOrphansGone(ORPHANS_MS)
}

async function openJobs({ landfall }: Stage): Promise<unknown[]> {
  const { rows } = await sql`
    select name, state, retry_count, data from pgboss.job
     where state in ('created', 'retry', 'active') and not name = any(${DROPPABLE})
       and name not like '\\_\\_pgboss%'`.execute(landfall.db)
  return rows
}

async function stepsOf({ landfall }: Stage, uploadIds: string[]): Promise<unknown> {
  return await landfall.db
    .selectFrom('landfall.processing_steps as processing_steps')
    .innerJoin('landfall.media as media', 'media.id', 'processing_steps.media_id')
    .select(['media.filename', 'step', 'attempt', 'processing_steps.status', 'detail'])
    .where('media.upload_id', 'in', uploadIds.map(asUploadId))
    .orderBy('started_at')
    .execute()
}
