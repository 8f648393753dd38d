import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { IncomingMessage, ServerResponse } from 'node:http'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { expectAlive, expectBooksInOrder, expectNothingLeft, openHandles } from './fuzz/aftermath.ts'
import type { WireAnswer } from './fuzz/answers.ts'
import { type Drawn, PLACES, type Place } from './fuzz/drawn.ts'
import { Places } from './fuzz/places.ts'
import { complaintAbout } from './fuzz/properties.ts'
import { render, shown } from './fuzz/rendering.ts'
import { drawn } from './fuzz/requests.ts'
import { exchange } from './fuzz/wire.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { describeStorages } from './support/storages.ts'

/** On disk; in a bucket a tenth of them. */
const CASES = Number(process.env.LANDFALL_FUZZ_CASES || 5000)
/** Always the same: what is found by chance is looked for by `npm run test:fuzz`. */
const SEED = Number(process.env.LANDFALL_FUZZ_SEED || 20_260_101)
/** Each has a seed of its own, so that one that fails can be had without those before it. */
const BLOCK = 250
const AT_ONCE = 12
/** Of one case, with a great deal to spare. */
const CASE_MS = 60

describeStorages('whatever is sent to the server', (storage) => {
  const cases = storage === 'disk' ? CASES : Math.ceil(CASES / 10)

  it(
    `is answered in good order and leaves nothing behind, ${cases} times`,
    async () => {
      const landfall = await startLandfall({
        storage,
        withoutWorker: true,
        env: {
          UPLOAD_MAX_OPEN: '1000000',
          UPLOAD_MIN_SIZE: '0',
          UPLOAD_MAX_SIZE: '100000',
          TRUST_PROXY: 'loopback',
        },
      })
      const failures = watchFailures(landfall.url)
      try {
        const places = new Places(landfall)
        await places.idsOf(PLACES)
        const before = await openHandles()
        const startedAt = performance.now()
        const tally = new Map<string, number>()
        for (let done = 0; done < cases; done += BLOCK) {
          const seed = SEED + done / BLOCK
          const block = fc.sample(drawn, { numRuns: Math.min(BLOCK, cases - done), seed })
          await playBlock(landfall, places, block, seed, tally)
          expect(failures.seen, `seed ${seed}`).toEqual([])
        }
        const seconds = Math.round((performance.now() - startedAt) / 1000)
        console.log(
          `${storage}: seed ${SEED}, ${cases} cases in ${seconds} s, answered with ${summary(tally)}`,
        )
        await expectBooksInOrder(landfall, before)
        await expectAlive(landfall)
        const uploads = await expectNothingLeft(landfall)
        console.log(`${storage}: ${uploads} uploads were ended`)
        expect(failures.seen).toEqual([])
      } finally {
        failures.stop()
        await landfall.close()
      }
    },
    Math.max(300_000, cases * CASE_MS),
  )
})

/** Several at a time; the next one begins when any is over. */
async function playBlock(
  landfall: Landfall,
  places: Places,
  block: readonly Drawn[],
  seed: number,
  tally: Map<string, number>,
): Promise<void> {
  const waiting = block.entries()
  const failures: unknown[] = []
  const play = async () => {
    for (const [number, drawn] of waiting) {
      try {
        for (const answer of await playCase(landfall, places, drawn, `case ${number} of seed ${seed}`))
          tally.set(kindOf(answer), (tally.get(kindOf(answer)) ?? 0) + 1)
      } catch (error) {
        failures.push(error)
      }
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, play))
  if (failures.length === 0) return
  const again = `LANDFALL_FUZZ_SEED=${seed} LANDFALL_FUZZ_CASES=${landfall.storageEnv.STORAGE ? 10 * BLOCK : BLOCK}`
  throw new Error(`${failures.length} failed, again with ${again}\n${failures.map(String).join('\n\n')}`)
}

async function playCase(
  landfall: Landfall,
  places: Places,
  drawn: Drawn,
  name: string,
): Promise<readonly WireAnswer[]> {
  const ids = await places.idsOf(mentioned(drawn))
  const rendered = render(drawn, (word) => (word === 'token' ? places.token : ids.get(word)))
  const fail = (what: string): never => {
    throw new Error(`${name}: ${what}\nThe request: ${shown(rendered.bytes)}`)
  }
  const { answers } = await exchange(landfall.url, rendered, drawn).catch((error: unknown) =>
    fail(error instanceof Error ? `${error.name} ${error.message}` : String(error)),
  )
  const sent = rendered.bytes.toString('latin1')
  for (const answer of answers) {
    const complaint = complaintAbout(answer, sent, [landfall.dataDirectory])
    if (complaint !== undefined) fail(`${complaint}\nThe answer: ${told(answer)}`)
  }
  return answers
}

const told = ({ status, headers, body }: WireAnswer): string =>
  `${status} ${JSON.stringify(Object.fromEntries(headers))} ${body}`

/** The uploads that a request is about. */
function mentioned(drawn: Drawn): Set<Place | 'media'> {
  const text = drawn.kind === 'bytes' ? '' : JSON.stringify([drawn.path, drawn.headers])
  const names: readonly string[] = text.match(/(?<=\{)[a-z-]+(?=\})/g) ?? []
  return new Set([...PLACES, 'media' as const].filter((place) => names.includes(place)))
}

/** Answers of 5xx that nobody may have waited for: the client of such a request can be gone. */
function watchFailures(url: string): { seen: readonly string[]; stop(): void } {
  const port = Number(new URL(url).port)
  const seen: string[] = []
  const onStart = (message: unknown) => {
    const { request, response } = message as { request: IncomingMessage; response: ServerResponse }
    if (request.socket.localPort !== port) return
    response.once('close', () => {
      if (response.statusCode < 500 || response.statusCode === 501) return
      seen.push(`${response.statusCode} ${request.method} ${request.url} ${JSON.stringify(request.headers)}`)
    })
  }
  subscribe('http.server.request.start', onStart)
  return { seen, stop: () => void unsubscribe('http.server.request.start', onStart) }
}

/** By its code, where it has one. */
function kindOf({ status, headers, body }: WireAnswer): string {
  const isProblem = headers.get('content-type') === 'application/problem+json' && body !== ''
  return isProblem ? `${status} ${(JSON.parse(body) as { code: string }).code}` : String(status)
}

const summary = (tally: ReadonlyMap<string, number>): string =>
  [...tally]
    .toSorted(([a], [b]) => a.localeCompare(b))
    .map(([status, count]) => `${status} × ${count}`)
    .join(', ')
