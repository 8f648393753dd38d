import { randomInt } from 'node:crypto'
import { expect, it } from 'vitest'
import { STEPS } from '../processing/pipeline.ts'
import { requires } from './services/requirements.ts'
import { expectAllWell } from './steps/checks.ts'
import { untilEnded } from './steps/endings.ts'
import type { FileKind } from './steps/files.ts'
import { drawKills, replaceLate } from './steps/kill-plan.ts'
import { playKills } from './steps/kills.ts'
import { describeOutage, drawOutages, type Outage, playOutage } from './steps/outages.ts'
import { drawModels, type Model } from './steps/portrait.ts'
import { summaryOf, withLog } from './steps/report.ts'
import { type Service, type Stage, startStage } from './steps/stage.ts'
import { Random } from './support/random.ts'
import { describeStorages } from './support/storages.ts'

/** The only storage to play on; empty for all. */
const STORAGE = process.env.LANDFALL_STEPS_STORAGE || ''
/** In each step. */
const KILLS = Number(process.env.LANDFALL_STEPS_KILLS || 1)
/** Of all steps, for each service; 0: a few steps that are drawn. */
const OUTAGE_ROUNDS = Number(process.env.LANDFALL_STEPS_OUTAGES || 0)
const AWAY_MS = Number(process.env.LANDFALL_STEPS_AWAY_SECONDS || 3) * 1000
/** Repeats what was drawn; what is then hit is still up to the machine. */
const SEED = Number(process.env.LANDFALL_STEPS_SEED || randomInt(1, 2 ** 31))
const WORKERS = 4
/** A hang is ended by the test itself. */
const TIMEOUT_MS = 4 * 3_600_000

const ffmpeg = requires('ffmpeg')
const clamd = requires('clamd')
const ceph = requires('ceph')
const steps = STEPS.map(({ name }) => name)

describeStorages.skipIf(!ffmpeg.met || !clamd.met)('workers in every step', (storage) => {
  const random = new Random(SEED)
  const isLeftOut = STORAGE !== '' && STORAGE !== storage
  // A short run has one half on each storage; outages where there are more services.
  const isFull = OUTAGE_ROUNDS > 0
  const hasKills = isFull || storage === 'disk'
  const hasOutages = isFull || storage === 's3' || !ceph.met

  const test = (name: string, play: (stage: Stage, models: Record<FileKind, Model>) => Promise<void>) =>
    it.skipIf(isLeftOut)(
      name,
      async () => {
        console.log(`${storage}: LANDFALL_STEPS_SEED=${SEED}`)
        const stage = await startStage(storage, WORKERS)
        try {
          await withLog(stage, async () => play(stage, await drawModels(stage)))
        } finally {
          await stage.close()
        }
      },
      TIMEOUT_MS,
    )

  if (hasKills) {
    test('die, and every file becomes what it would have, and is told of once', async (stage, models) => {
      const startedAt = performance.now()
      const options = { storage, random, models }
      const first = await playKills(stage, drawKills(steps, KILLS, options))
      const second = await playKills(stage, replaceLate(first, options))
      await untilEnded(stage, stage.sent)
      const reports = [...first, ...second]
      const seconds = ((performance.now() - startedAt) / 1000).toFixed(0)
      const { length: orphans } = stage.crew.orphans
      console.log(`${storage}: ${seconds} s, tools left running: ${orphans}\n${summaryOf(reports)}`)
      await expectAllWell(stage, models)
      for (const step of steps) {
        const kills = reports.filter(({ kill, isLate }) => kill.step === step && !isLate)
        expect(kills.length, `kills in ${step}`).toBeGreaterThanOrEqual(KILLS)
      }
    })
  }

  if (hasOutages) {
    test(`are without clamd, Postgres or S3 for ${AWAY_MS / 1000} s, and every file becomes what it would have, and is told of once`, async (stage, models) => {
      const services = [...stage.lines.keys()]
      const outages = isFull
        ? drawOutages(steps, services, OUTAGE_ROUNDS, random, models)
        : services.flatMap((service) => drawSome(service, random, models))
      for (const outage of outages) {
        const startedAt = performance.now()
        await playOutage(stage, outage, AWAY_MS)
        const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
        console.log(`${storage}: ${describeOutage(outage)}: all done after ${seconds} s`)
      }
      await expectAllWell(stage, models)
    })
  }
})

/** An outage of one service in some steps, one for each worker. Only the scan asks clamd. */
function drawSome(service: Service, random: Random, models: Record<FileKind, Model>): Outage[] {
  const left = [...steps]
  const drawn = Array.from({ length: Math.min(WORKERS, steps.length) }, () => {
    const [step = ''] = left.splice(random.integer(0, left.length - 1), 1)
    return step
  })
  return drawOutages(service === 'clamd' ? ['scan'] : drawn, [service], 1, random, models)
}
