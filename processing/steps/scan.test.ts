import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import type { StepContext } from '../step/step.ts'
import { MAX_SCANNED_BYTES, type ScanVerdict } from '../tools/scanner.ts'
import { scan } from './scan.ts'

const BYTES = Buffer.from('a file of some bytes')
const SHA256 = createHash('sha256').update(BYTES).digest('hex')
const NOT_SCANNED = { kind: 'not-scanned', why: 'the file exceeds a limit of the scanner' } as const

/** A scanner with this verdict, which hangs up after `reads` bytes of the file. */
function contextOf(options: {
  verdict?: ScanVerdict
  oversize?: 'reject' | 'accept'
  reads?: number
  size?: number
  digests?: Record<string, string>
}) {
  const { verdict, oversize = 'reject', reads = BYTES.length, size = BYTES.length, digests } = options
  let timesRead = 0
  let timesScanned = 0
  const query = {
    select: () => query,
    where: () => query,
    executeTakeFirstOrThrow: async () => ({ digests }),
  }
  const context = {
    media: { upload_id: 'u', storage_key: 'uploads/u', etag: null, size },
    db: { selectFrom: () => query },
    objects: {
      read: async () => {
        timesRead++
        return Readable.from([BYTES])
      },
    },
    scanner: verdict && {
      async scan(_source: Readable, onChunk: (chunk: Uint8Array) => void) {
        timesScanned++
        onChunk(BYTES.subarray(0, reads))
        return verdict
      },
    },
    scanOversize: oversize,
    dedup: 'off',
    signal: new AbortController().signal,
  } as unknown as StepContext
  return { context, timesRead: () => timesRead, timesScanned: () => timesScanned }
}

describe('the step scan', () => {
  it('calls clean what clamd calls clean, in one read', async () => {
    const { context, timesRead } = contextOf({ verdict: { kind: 'clean' } })
    expect((await scan.run(context)).facts).toEqual({ sha256: SHA256, scan_status: 'clean' })
    expect(timesRead()).toBe(1)
  })

  it('says so when scanning is switched off', async () => {
    expect((await scan.run(contextOf({}).context)).facts).toEqual({ sha256: SHA256, scan_status: 'off' })
  })

  it.each(['reject', 'accept'] as const)('rejects what is infected, with %s', async (oversize) => {
    const { context } = contextOf({ verdict: { kind: 'infected', signature: 'X' }, oversize })
    await expect(scan.run(context)).rejects.toMatchObject({ verdict: { code: 'infected' } })
  })

  it('rejects what clamd did not look at whole', async () => {
    const { context } = contextOf({ verdict: NOT_SCANNED })
    await expect(scan.run(context)).rejects.toMatchObject({ verdict: { code: 'scan-limit-exceeded' } })
  })

  it.each([
    ['after the end', BYTES.length, 1],
    ['half-way', 5, 2],
  ])(
    'lets it pass as unscanned where that is accepted, when clamd says so %s',
    async (_when, reads, times) => {
      const { context, timesRead } = contextOf({ verdict: NOT_SCANNED, oversize: 'accept', reads })
      const { facts, detail } = await scan.run(context)
      expect(facts).toEqual({ sha256: SHA256, scan_status: 'unscanned' })
      expect(detail).toMatchObject({ scanned: false, unscanned: NOT_SCANNED.why })
      expect(timesRead()).toBe(times)
    },
  )

  it('does not show clamd a file of a size that it says OK to unseen', async () => {
    const { context, timesRead, timesScanned } = contextOf({
      verdict: { kind: 'clean' },
      size: MAX_SCANNED_BYTES + 1,
    })
    await expect(scan.run(context)).rejects.toMatchObject({ verdict: { code: 'scan-limit-exceeded' } })
    expect([timesRead(), timesScanned()]).toEqual([0, 0])
  })

  it.each([{ verdict: NOT_SCANNED }, { verdict: { kind: 'clean' } }, {}] as const)(
    'holds the file against its digest whatever the scanner says: %j',
    async (options) => {
      const right = { sha256: createHash('sha256').update(BYTES).digest('base64') }
      const good = contextOf({ ...options, oversize: 'accept', reads: BYTES.length, digests: right })
      expect((await scan.run(good.context)).facts).toMatchObject({ sha256: SHA256 })
      const bad = contextOf({ ...options, oversize: 'accept', digests: { sha256: 'AAAA' } })
      await expect(scan.run(bad.context)).rejects.toMatchObject({ verdict: { code: 'digest-mismatch' } })
    },
  )
})
