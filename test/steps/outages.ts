import { outageOf, raceAfter } from '../support/pauses.ts'
import type { Random } from '../support/random.ts'
import { untilEnded } from './endings.ts'
import { type FileKind, kindFor } from './files.ts'
import type { Hold, HoldMoment } from './gate.ts'
import type { Model } from './portrait.ts'
import type { Sent, Service, Stage } from './stage.ts'

/** One service is away, while each worker is in a step of its own. */
export type Outage = {
  service: Service
  targets: {
    step: string
    kind: FileKind
    /** Where the worker is held until all are where they are to be. */
    moment: Extract<HoldMoment, 'begin' | 'end'>
    /** How long before the outage it is let go. */
    headStartMs: number
  }[]
}

/** No more than there are workers at a time. */
const AT_ONCE = 4
/** Until each worker is in its step. */
const HOLD_TIMEOUT_MS = 120_000

let files = 0

/** `rounds` of all steps for each service: first as the step is entered, then some time into it, and so on. */
export function drawOutages(
  steps: readonly string[],
  services: readonly Service[],
  rounds: number,
  random: Random,
  models: Record<FileKind, Model>,
): Outage[] {
  const outages: Outage[] = []
  for (let round = 0; round < rounds; round++) {
    for (const service of services) {
      const targets = steps.map((step) => drawTarget(step, round, service, random, models))
      for (let at = 0; at < targets.length; at += AT_ONCE)
        outages.push({ service, targets: targets.slice(at, at + AT_ONCE) })
    }
  }
  return outages
}

function drawTarget(
  step: string,
  round: number,
  service: Service,
  random: Random,
  models: Record<FileKind, Model>,
): Outage['targets'][number] {
  const kind = kindFor(step, round, models)
  const isEntered = round % 2 === 0
  // A step whose end cannot be written down needs no service but the database.
  const isLosingItsEnd = !isEntered && service === 'postgres' && random.chance(0.5)
  return {
    step,
    kind,
    moment: isLosingItsEnd ? 'end' : 'begin',
    headStartMs: isEntered || isLosingItsEnd ? 0 : random.fraction() * (models[kind].stepMs.get(step) ?? 0),
  }
}

export function describeOutage({ service, targets }: Outage): string {
  const steps = targets.map(({ step, moment, headStartMs }) =>
    moment === 'end' ? `${step} at its end` : `${step} + ${headStartMs.toFixed(1)} ms`,
  )
  return `${service} in ${steps.join(', ')}`
}

/** Takes the service away for so long, and waits until all files are ready that were on their way, or came meanwhile. */
export async function playOutage(stage: Stage, outage: Outage, awayMs: number): Promise<void> {
  const line = stage.lines.get(outage.service)
  if (!line) throw new Error(`there is no line to ${outage.service}`)
  const held: { hold: Hold; headStartMs: number }[] = []
  const sent: Sent[] = []
  for (const { step, kind, moment, headStartMs } of outage.targets) {
    const filename = `${++files} without ${outage.service} in ${step}`
    held.push({ hold: await stage.gate.hold({ filename, step, moment }, HOLD_TIMEOUT_MS), headStartMs })
    sent.push(await stage.send(kind, filename))
  }
  await Promise.all(held.map(({ hold }) => hold.reached))
  await releaseAll(held)
  line.cut()
  try {
    for (const { hold, headStartMs } of held) if (headStartMs === 0) await hold.release()
    sent.push(await stage.send('image', `${++files} sent without ${outage.service}`))
    await outageOf(awayMs)
  } finally {
    line.restore()
  }
  await untilEnded(stage, sent)
}

/** Resolves when each has had its head start; those without one stay held. */
async function releaseAll(held: readonly { hold: Hold; headStartMs: number }[]): Promise<void> {
  const runners = held.filter(({ headStartMs }) => headStartMs > 0)
  const longestMs = Math.max(0, ...runners.map(({ headStartMs }) => headStartMs))
  await Promise.all(
    runners.map(async ({ hold, headStartMs }) => {
      await raceAfter(longestMs - headStartMs)
      await hold.release()
      await raceAfter(headStartMs)
    }),
  )
}
