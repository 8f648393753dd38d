import { sql } from 'kysely'
import pino from 'pino'
import { afterEach, expect, it } from 'vitest'
import { workerOptions } from '../commands/worker.ts'
import { openQueues, QUEUES } from '../jobs/queues.ts'
import { runWorker } from '../processing/process.ts'
import { parseConfig } from '../server/config.ts'
import { SECRET, startLandfall } from './support/landfall.ts'
import { createId } from './support/tus.ts'

type Line = { level: number; queue?: string; id?: string; err?: { message: string }; msg: string }

const undo: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const release of undo.splice(0).reverse()) await release()
})

async function start() {
  const landfall = await startLandfall({ withoutWorker: true })
  undo.push(() => landfall.close())
  const { connectionString, dataDirectory } = landfall
  const boss = await openQueues({ db: landfall.db, supervise: false, onError: () => {} })
  undo.push(() => boss.stop({ close: false, graceful: false }))
  const lines: Line[] = []
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(JSON.parse(line)) })
  const startWorker = async () => {
    const config = parseConfig(
      { AUTH_JWT_SECRET: SECRET, DATABASE_URL: connectionString, DATA_DIR: dataDirectory, SCAN: 'off' },
      { auth: true },
    )
    const worker = await runWorker(workerOptions(config, connectionString, log))
    undo.push(() => worker.close())
  }
  return { landfall, boss, lines, startWorker }
}

it('tells of every kind of job that fails: none is swallowed', async () => {
  const { landfall, boss, lines, startWorker } = await start()
  const uploadId = await createId(landfall, 'alice', { size: 5000 })
  await startWorker()
  await sql`alter table landfall.media rename to media_away`.execute(landfall.db)
  const kinds = [QUEUES.removal, QUEUES.dead, QUEUES.again, QUEUES.processing, QUEUES.transcoding]
  for (const name of kinds) await boss.send(name, { mediaId: 'm', uploadId, since: 1 })
  const failed = () => lines.filter(({ level, err, id }) => level === 50 && err && id !== undefined)
  await expect
    .poll(() => failed().map(({ queue }) => queue), { timeout: 40_000 })
    .toEqual(expect.arrayContaining(kinds))
}, 60_000)

it('prunes although reaping fails, and tells of that', async () => {
  const { landfall, lines, startWorker } = await start()
  await createId(landfall, 'alice', { size: 5000 })
  await sql`update landfall.events set created_at = now() - interval '31 days'`.execute(landfall.db)
  await sql`alter table landfall.upload_locks rename to locks_away`.execute(landfall.db)
  await startWorker()
  const failure = { level: 50, queue: QUEUES.reaping, id: expect.any(String), err: expect.any(Object) }
  await expect.poll(() => lines, { timeout: 30_000 }).toContainEqual(expect.objectContaining(failure))
  expect(await landfall.db.selectFrom('landfall.events').select('id').execute()).toEqual([])
}, 60_000)
