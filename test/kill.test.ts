import { randomInt } from 'node:crypto'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Fixture } from './fixtures/media.ts'
import {
  expectLedgerOf,
  expectLedgerOfForms,
  expectNothingElse,
  expectNothingElseStored,
  expectServedAsSent,
  type SentUpload,
} from './kill/checks.ts'
import { sendStubbornly } from './kill/client.ts'
import { sendForm } from './kill/form-client.ts'
import { Killer } from './kill/killer.ts'
import { describeRound, drawRound, loadMedia, type Round } from './kill/plan.ts'
import { startVictim, type Victim } from './kill/storage.ts'
import { requires } from './services/requirements.ts'
import { Random } from './support/random.ts'
import { describeStorages } from './support/storages.ts'

/** The only storage to play rounds on; empty for all. */
const STORAGE = process.env.LANDFALL_KILL_STORAGE || ''
/** On each storage. */
const ROUNDS = Number(process.env.LANDFALL_KILL_ROUNDS || 6)
/** Repeats what was drawn; what a kill then hits is still up to the machine. */
const SEED = Number(process.env.LANDFALL_KILL_SEED || randomInt(1, 2 ** 31))
const ROUND_DEADLINE_MS = 90_000

const ffmpeg = requires('ffmpeg')
const clamd = requires('clamd')

const describeUnlessMissing = describeStorages.skipIf(!ffmpeg.met || !clamd.met)

describeUnlessMissing('a server that is killed at random moments', (storage) => {
  let victim: Victim
  let media: Fixture[]

  beforeAll(async () => {
    media = await loadMedia()
    victim = await startVictim(storage)
  })
  afterAll(() => victim?.stop())

  it.skipIf(STORAGE !== '' && STORAGE !== storage)(
    `loses no acknowledged byte and finishes every upload exactly once, in ${ROUNDS} rounds`,
    async () => {
      console.log(`${storage}: LANDFALL_KILL_SEED=${SEED}`)
      const tally = new Tally()
      const sizes = new Map<string, number>()
      for (let number = 1; number <= ROUNDS; number++) {
        // Each round draws from a seed of its own, so that one that fails can be had without those before it.
        const round = await drawRound(storage, new Random(SEED + number), number, media)
        const what = `round ${number} of seed ${SEED}: ${describeRound(round)}`
        await withDeadline(playRound(victim, round, sizes, tally), what).catch((error: unknown) => {
          const log = victim.server.run().stderr().slice(-4000)
          throw new Error(`${what}\n${error instanceof Error ? error.message : error}\n${log}`, {
            cause: error,
          })
        })
      }
      console.log(tally.summary())
      expect(sizes.size).toBe(tally.uploads)
    },
    ROUNDS * ROUND_DEADLINE_MS,
  )
})

async function playRound(
  { server, stored }: Victim,
  round: Round,
  sizes: Map<string, number>,
  tally: Tally,
): Promise<void> {
  const startedAt = performance.now()
  const killer = new Killer(server, round.kills)
  const results = await Promise.allSettled(
    round.uploads.map(async (upload): Promise<SentUpload> => {
      const send = upload.way === 'form' ? sendForm : sendStubbornly
      const uploadId = await send(upload, {
        server,
        available: () => killer.available(),
        onMoment: (kind) => killer.moment(kind),
        onSent: (bytes) => killer.sent(bytes),
        onRefusal: (what) => tally.count(what),
      })
      return { ...upload, uploadId }
    }),
  )
  await killer.finish()
  const failed = results.find((result) => result.status === 'rejected')
  if (failed) throw failed.reason
  const sent = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  const sentAt = performance.now()

  await expectServedAsSent(server, stored, sent)
  for (const { uploadId, bytes } of sent) sizes.set(uploadId, bytes.length)
  const ledger = await server.openLedger()
  try {
    const [forms, others] = [
      sent.filter(({ way }) => way === 'form'),
      sent.filter(({ way }) => way !== 'form'),
    ]
    await expectLedgerOf(ledger, others)
    await expectLedgerOfForms(ledger, stored, forms)
    await expectNothingElse(ledger, sizes)
    await expectNothingElseStored(ledger, stored, sizes)
  } finally {
    await ledger.destroy()
  }
  const settlingMs = performance.now() - sentAt
  tally.add(killer, sent.length, sentAt - startedAt, settlingMs)
}

/** What the rounds were like, in figures. */
class Tally {
  uploads = 0
  readonly #counts = new Map<string, number>()
  readonly #restartMs: number[] = []
  readonly #roundMs: number[] = []
  readonly #settlingMs: number[] = []

  count(what: string): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1)
  }

  add(killer: Killer, uploads: number, sendingMs: number, settlingMs: number): void {
    this.uploads += uploads
    for (const what of killer.executed) this.count(`killed: ${what}`)
    this.#restartMs.push(...killer.restartMs)
    this.#roundMs.push(sendingMs + settlingMs)
    this.#settlingMs.push(settlingMs)
  }

  summary(): string {
    return [
      `${this.#roundMs.length} rounds, ${this.uploads} uploads`,
      `rounds: ${spread(this.#roundMs)}, of which waiting for the worker: ${spread(this.#settlingMs)}`,
      `restarts: ${spread(this.#restartMs)}`,
      ...[...this.#counts].sort().map(([what, count]) => `${what}: ${count}`),
    ].join('\n')
  }
}

function spread(ms: readonly number[]): string {
  const sorted = ms.toSorted((a, b) => a - b)
  const at = (fraction: number) => Math.round(sorted[Math.floor((sorted.length - 1) * fraction)] ?? 0)
  return `${sorted.length} × median ${at(0.5)} ms, 90 % ${at(0.9)} ms, longest ${at(1)} ms`
}

async function withDeadline<T>(work: Promise<T>, what: string): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error(`${what} hangs`)), ROUND_DEADLINE_MS)
  return await Promise.race([work, promise]).finally(() => clearTimeout(timer))
}
