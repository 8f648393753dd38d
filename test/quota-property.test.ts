import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { countedUsage, impliedUsage } from './support/quota.ts'
import { asJpeg } from './support/sample-bytes.ts'
import { create, idOf, patch, terminate } from './support/tus.ts'

const MAX_OPEN = 4
const MAX_UPLOADS = 6
const QUOTA_BYTES = 30_000
const TIME_MS = 12_000

/** An upload that a sequence has made, as its client knows it. */
type Made = { id: string; size: number; offset: number }

const sizes = fc.integer({ min: 1000, max: 9000 })
const which = fc.nat({ max: 7 })
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('create' as const), size: sizes }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('create-with-all' as const), size: sizes }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('append' as const), which, share: fc.nat({ max: 99 }) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('finish' as const), which }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('terminate' as const), which }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('terminate-twice-at-once' as const), which }) },
)
const sequence = fc.array(fc.record({ owner: fc.nat({ max: 1 }), step }), { minLength: 5, maxLength: 25 })

describe('the usage that the ledger counts', () => {
  let landfall: Landfall
  let runs = 0

  beforeAll(async () => {
    landfall = await startLandfall({
      withoutWorker: true,
      env: {
        QUOTA_BYTES: String(QUOTA_BYTES),
        QUOTA_UPLOADS: String(MAX_UPLOADS),
        UPLOAD_MAX_OPEN: String(MAX_OPEN),
        UPLOAD_MAX_SIZE: '10000',
      },
    })
  })
  afterAll(() => landfall?.close())

  /** Does one step, whether the server allows it or not. */
  async function perform(owner: string, made: Made[], { step: { kind, ...step } }: Drawn): Promise<void> {
    if (kind === 'create' || kind === 'create-with-all') {
      const size = 'size' in step ? step.size : 0
      const whole = kind === 'create-with-all'
      const response = await create(landfall, owner, {
        size,
        ...(whole ? { body: asJpeg(Buffer.alloc(size)) } : {}),
      })
      expect([201, 413, 429]).toContain(response.status)
      if (response.status === 201) made.push({ id: idOf(response), size, offset: whole ? size : 0 })
      return
    }
    const upload = 'which' in step ? made[step.which % Math.max(1, made.length)] : undefined
    if (!upload) return
    if (kind === 'append' || kind === 'finish') {
      const left = upload.size - upload.offset
      const bytes = 'share' in step ? Math.floor((left * step.share) / 100) : left
      const response = await patch(landfall, owner, upload.id, {
        offset: upload.offset,
        body: asJpeg(Buffer.alloc(bytes)),
      })
      expect([204, 410]).toContain(response.status)
      if (response.status === 204) upload.offset += bytes
      return
    }
    const times = kind === 'terminate' ? [1] : [1, 2]
    const answers = await Promise.all(times.map(() => terminate(landfall, owner, upload.id)))
    for (const answer of answers) expect([204, 410]).toContain(answer.status)
  }

  it('is what uploads and media imply, and within the limits, after every step of any sequence', async () => {
    const property = fc.asyncProperty(sequence, async (steps) => {
      runs += 1
      const owners = [`first-${runs}`, `second-${runs}`]
      const made: [Made[], Made[]] = [[], []]
      for (const drawn of steps) {
        await perform(owners[drawn.owner] ?? '', made[drawn.owner === 0 ? 0 : 1], drawn)
        const counted = await countedUsage(landfall.db, owners)
        expect(counted).toEqual(await impliedUsage(landfall.db, owners))
        for (const usage of counted) {
          expect(
            Math.min(...Object.values(usage).filter((value) => typeof value === 'number')),
          ).toBeGreaterThanOrEqual(0)
          expect(usage.reserved_bytes + usage.used_bytes).toBeLessThanOrEqual(QUOTA_BYTES)
          expect(usage.open_uploads).toBeLessThanOrEqual(MAX_OPEN)
          expect(usage.open_uploads + usage.finished_uploads).toBeLessThanOrEqual(MAX_UPLOADS)
        }
      }
    })
    await fc.assert(property, {
      numRuns: 40,
      endOnFailure: true,
      plugins: [fc.interruptAfterTimeLimit(TIME_MS)],
    })
    expect(runs).toBeGreaterThan(0)
  })
})

type Drawn = typeof sequence extends fc.Arbitrary<(infer One)[]> ? One : never
