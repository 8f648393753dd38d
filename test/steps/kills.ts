import { type FSWatcher, watch } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { sql } from 'kysely'
import type { MediaId } from '../../ledger/ids.ts'
import { RENDITIONS, renditionKey } from '../../storage/store/keys.ts'
import { betweenLooks, nothingFor, raceAfter } from '../support/pauses.ts'
import { untilReady } from './endings.ts'
import type { Kill } from './kill-plan.ts'
import type { Sent, Stage } from './stage.ts'

export type KillReport = {
  kill: Kill
  /** The step had ended before the kill came. */
  isLate: boolean
}

const SENDERS = 4
/** Files wait their turn behind all others. That none becomes ready any more is noticed sooner. */
const HOLD_TIMEOUT_MS = 3_600_000
/** Of a job's six attempts; what else a killed worker is at is hit as well. */
const MAX_RETRIES = 2
const MERCY_MS = 60_000
/** From the beginning of a step to the first file that it writes. */
const WRITING_MS = 10_000
const POLL_MS = 200

/** Sends a file for each kill, kills the worker that has it there, and waits until all of the files are ready. */
export async function playKills(stage: Stage, kills: readonly Kill[]): Promise<KillReport[]> {
  const shots: Promise<void>[] = []
  const sent: Sent[] = []
  const queue = kills.values()
  await Promise.all(
    Array.from({ length: SENDERS }, async () => {
      for (const kill of queue) {
        shots.push((await aim(stage, kill)).shot)
        sent.push(await stage.send(kill.kind, kill.filename))
      }
    }),
  )
  await Promise.all([...shots, untilReady(stage, sent)])
  return await Promise.all(
    kills.map(async (kill) => ({
      kill,
      isLate: ['inside', 'writing'].includes(kill.moment) && !(await wasInside(stage, kill)),
    })),
  )
}

/** Resolves when it is aimed, which is to be before its file is sent; `shot` when the worker is dead. */
async function aim(stage: Stage, kill: Kill): Promise<{ shot: Promise<void> }> {
  const { filename, step, moment } = kill
  const isAtEdge = moment !== 'inside' && moment !== 'writing'
  const hold = await stage.gate.hold({ filename, step, moment: isAtEdge ? moment : 'begin' }, HOLD_TIMEOUT_MS)
  const shoot = async () => {
    const worker = await hold.reached
    await untilBearable(stage, filename)
    if (!isAtEdge) await withinStep(stage, kill, () => hold.release())
    await stage.crew.kill(worker, kill)
    // What the database does for the dead goes on.
    if (isAtEdge) await hold.release()
  }
  const shot = shoot()
  // Looked at when everything is sent.
  shot.catch(() => {})
  return { shot }
}

/**
 * Waits while the job of another file is done that has lost several workers by chance: one that loses them all is given
 * up, which is right and not what is tested here.
 */
async function untilBearable({ landfall }: Stage, filename: string): Promise<void> {
  const deadline = performance.now() + MERCY_MS
  while (performance.now() < deadline) {
    const { rows } = await sql`
      select j.id from pgboss.job j join landfall.media m on m.id = j.data ->> 'mediaId'
       where j.state = 'active' and j.retry_count > ${MAX_RETRIES} and m.filename <> ${filename}`.execute(
      landfall.db,
    )
    if (rows.length === 0) return
    await betweenLooks(POLL_MS)
  }
}

/** Lets the step begin, and resolves at the moment of the kill. */
async function withinStep(stage: Stage, kill: Kill, begin: () => Promise<void>): Promise<void> {
  if (kill.moment === 'inside') {
    await begin()
    await raceAfter(kill.afterMs)
    return
  }
  const { promise, resolve } = Promise.withResolvers<void>()
  const watcher = await watchRenditions(stage, kill.filename, (name) => {
    if (name?.endsWith('.tmp')) resolve()
  })
  try {
    await begin()
    // One that writes nothing has been killed too late.
    await Promise.race([promise, nothingFor(WRITING_MS)])
  } finally {
    watcher.close()
  }
}

async function watchRenditions(
  { landfall }: Stage,
  filename: string,
  onChange: (name: string | null) => void,
): Promise<FSWatcher> {
  const media = await landfall.db
    .selectFrom('landfall.media')
    .select(['id', 'storage_key'])
    .where('filename', '=', filename)
    .executeTakeFirstOrThrow()
  const key = renditionKey({ id: media.id as MediaId, storage_key: media.storage_key }, RENDITIONS.thumbnail)
  const directory = join(landfall.dataDirectory, 'objects', dirname(key))
  // The worker would make it, too late to be watched.
  await mkdir(directory, { recursive: true })
  return watch(directory, (_event, name) => onChange(name))
}

/** A killed worker leaves its attempt as it was. */
async function wasInside({ landfall }: Stage, { filename, step }: Kill): Promise<boolean> {
  const row = await landfall.db
    .selectFrom('landfall.processing_steps as processing_steps')
    .innerJoin('landfall.media as media', 'media.id', 'processing_steps.media_id')
    .select('attempt')
    .where('media.filename', '=', filename)
    .where('step', '=', step)
    .where('processing_steps.status', '=', 'running')
    .executeTakeFirst()
  return row !== undefined
}
