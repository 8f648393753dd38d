import { sql } from 'kysely'
import type { Ledger } from './database.ts'
import type { MediaId } from './ids.ts'
import type { StepStatus } from './schema.ts'

export type StepDetail = Record<string, unknown>

/** The steps a media has behind it, with what each found. */
export async function stepsDone(db: Ledger, mediaId: MediaId): Promise<Map<string, StepDetail>> {
  const rows = await db
    .selectFrom('processing_steps')
    .select(['step', 'detail'])
    .where('media_id', '=', mediaId)
    .where('status', '=', 'done')
    .execute()
  return new Map(rows.map((row) => [row.step, row.detail ?? {}]))
}

/** Records that a step begins; returns the number of this attempt, from 1. */
export async function beginStep(db: Ledger, mediaId: MediaId, step: string): Promise<number> {
  const { rows } = await sql<{ attempt: number }>`
    insert into landfall.processing_steps (media_id, step, attempt, status)
    select ${mediaId}, ${step}, coalesce(max(attempt), 0) + 1, 'running'
      from landfall.processing_steps where media_id = ${mediaId} and step = ${step}
    returning attempt`.execute(db)
  const row = rows[0]
  if (!row) throw new Error('step was not recorded')
  return row.attempt
}

/** Records how an attempt ended. */
export async function endStep(
  db: Ledger,
  attempt: { mediaId: MediaId; step: string; attempt: number },
  outcome: { status: Exclude<StepStatus, 'running'>; detail: StepDetail },
): Promise<void> {
  await db
    .updateTable('processing_steps')
    .set({ status: outcome.status, detail: JSON.stringify(outcome.detail), finished_at: new Date() })
    .where('media_id', '=', attempt.mediaId)
    .where('step', '=', attempt.step)
    .where('attempt', '=', attempt.attempt)
    .execute()
}
