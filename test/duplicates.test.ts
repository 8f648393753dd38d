import { afterEach, describe, expect, it } from 'vitest'
import { jpeg } from './fixtures/media.ts'
import { requires } from './services/requirements.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { countedUsage, impliedUsage } from './support/quota.ts'
import { type MediaJson, outcome, process, sendFile } from './support/uploads.ts'

const clamd = requires('clamd')
type Media = MediaJson & { duplicateOf: string | null }

describe.skipIf(!clamd.met)('a file that its owner has already', () => {
  let landfall: Landfall
  afterEach(() => landfall?.close())

  const send = async (owner = 'alice', width = 640): Promise<Media> =>
    (await process(landfall, owner, await jpeg({ width, height: 480 }))) as Media

  it('is told with DEDUP=report, and otherwise like any other', async () => {
    landfall = await startLandfall({ env: { DEDUP: 'report' } })
    const first = await send()
    expect(first).toMatchObject({ status: 'ready', duplicateOf: null })
    expect(await send()).toMatchObject({ status: 'ready', duplicateOf: first.id })
    expect(await send('alice', 500)).toMatchObject({ status: 'ready', duplicateOf: null })
    expect(await send('bob')).toMatchObject({ status: 'ready', duplicateOf: null })
  })

  it('is not looked for without DEDUP', async () => {
    landfall = await startLandfall()
    await send()
    expect(await send()).toMatchObject({ status: 'ready', duplicateOf: null })
  })

  it('is rejected with DEDUP=reject, by a reason that names the other, until that is deleted', async () => {
    landfall = await startLandfall({ env: { DEDUP: 'reject' } })
    const first = await send()
    const second = await send()
    expect(second).toMatchObject({ status: 'rejected', duplicateOf: first.id, reason: { code: 'duplicate' } })
    expect(second.reason?.detail).toContain(first.id)
    // Nothing of it was looked into any further.
    expect(second).toMatchObject({ width: null })
    const again = await landfall.as('alice')(`/api/v1/media/${first.id}/process`, { method: 'POST' })
    expect(again.status).toBe(202)
    expect(await send('bob')).toMatchObject({ status: 'ready' })
    expect((await landfall.as('alice')(`/api/v1/media/${first.id}`, { method: 'DELETE' })).status).toBe(204)
    expect(await send()).toMatchObject({ status: 'ready', duplicateOf: null })
  })

  it('is ready once, of several that are processed at the same moment', async () => {
    landfall = await startLandfall({ env: { DEDUP: 'reject', WORKER_CONCURRENCY: '4' } })
    const file = await jpeg({ width: 640, height: 480 })
    const sent = await Promise.all([1, 2, 3, 4].map(() => sendFile(landfall, 'alice', file)))
    const all = (await Promise.all(
      sent.map(({ uploadId }) => outcome(landfall, 'alice', uploadId)),
    )) as Media[]
    const [ready, ...more] = all.filter(({ status }) => status === 'ready')
    expect(more).toEqual([])
    const rejected = all.filter(({ status }) => status === 'rejected')
    expect(rejected.map(({ reason, duplicateOf }) => [reason?.code, duplicateOf])).toEqual(
      rejected.map(() => ['duplicate', ready?.id]),
    )
    expect(rejected).toHaveLength(3)
    expect(await countedUsage(landfall.db, ['alice'])).toEqual(await impliedUsage(landfall.db, ['alice']))
  })
})
