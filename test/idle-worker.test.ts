import { afterEach, describe, expect, it } from 'vitest'
import { workerOptions } from '../commands/worker.ts'
import { runWorker } from '../processing/process.ts'
import { parseConfig } from '../server/config.ts'
import { createLog } from '../server/process/log.ts'
import { type Landfall, SECRET, startLandfall } from './support/landfall.ts'
import { nothingFor } from './support/pauses.ts'
import { asJpeg } from './support/sample-bytes.ts'
import { countStatements, type StatementCounter } from './support/statement-counter.ts'
import { createId, terminate } from './support/tus.ts'

const WINDOW_S = 20
/** It was 8.7. */
const MAX_PER_SECOND = 2.5

describe('an idle worker', () => {
  const undo: (() => Promise<unknown>)[] = []
  afterEach(async () => {
    for (const release of undo.splice(0).reverse()) await release()
  })

  async function start(
    env: Record<string, string> = {},
  ): Promise<{ landfall: Landfall; counter: StatementCounter }> {
    const landfall = await startLandfall({ withoutWorker: true })
    undo.push(() => landfall.close())
    const counter = await countStatements(landfall.connectionString)
    undo.push(() => counter.close())
    const { connectionString } = counter
    const config = parseConfig(
      {
        AUTH_JWT_SECRET: SECRET,
        DATABASE_URL: connectionString,
        DATA_DIR: landfall.dataDirectory,
        SCAN: 'off',
        ...env,
      },
      { auth: true },
    )
    const log = createLog({ level: 'silent', name: 'test' })
    const worker = await runWorker(workerOptions(config, connectionString, log))
    undo.push(() => worker.close())
    return { landfall, counter }
  }
  const fetchesOf = (statements: readonly string[], queue: string) =>
    statements.filter((text) => text.includes(`'${queue}'`) && text.includes('SKIP LOCKED')).length

  it('leaves the database alone: a few statements a second, and none for what is switched off', async () => {
    const { counter } = await start({ WORKER_CONCURRENCY: '8' })
    // What it does once at its start.
    const whileIdle = async () => {
      counter.take()
      await nothingFor(3_000)
      return counter.take().length
    }
    await expect.poll(whileIdle, { timeout: 40_000 }).toBeLessThan(3 * MAX_PER_SECOND)
    await nothingFor(WINDOW_S * 1000)
    const statements = counter.take()
    expect(statements.length / WINDOW_S, `\n${statements.join('\n')}`).toBeLessThan(MAX_PER_SECOND)
    for (const queue of ['analyse-media', 'transcode-media']) expect(fetchesOf(statements, queue)).toBe(0)
  }, 120_000)

  it('is woken by name: who removes bytes, by the end of an upload, and nobody else', async () => {
    const { landfall, counter } = await start()
    const asked = async (queue: string) => fetchesOf(counter.take(), queue)
    await expect.poll(() => asked('remove-bytes'), { timeout: 30_000 }).toBeGreaterThan(0)
    const bytes = asJpeg(new Uint8Array(2_000))
    const seen = { removal: 0, other: 0 }
    for (let i = 0; i < 5; i++) {
      const id = await createId(landfall, 'alice', { size: bytes.length })
      counter.take()
      await terminate(landfall, 'alice', id)
      await expect
        .poll(
          () => {
            const statements = counter.take()
            seen.removal += fetchesOf(statements, 'remove-bytes')
            for (const queue of ['process-media', 'sweep-bytes', 'reap', 'process-media-dead'])
              seen.other += fetchesOf(statements, queue)
            return seen.removal
          },
          { timeout: 20_000 },
        )
        .toBeGreaterThan(i)
    }
    // By their own clocks now and then; each event woke every one of them.
    expect(seen.other).toBeLessThan(10)
  }, 60_000)
})
