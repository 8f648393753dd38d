import { afterEach, expect, it } from 'vitest'
import { newMediaId } from '../ledger/ids.ts'
import { jpeg } from './fixtures/media.ts'
import { requires } from './services/requirements.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { countedUsage, impliedUsage } from './support/quota.ts'
import { describeStorages } from './support/storages.ts'
import { type MediaJson, process } from './support/uploads.ts'

const clamd = requires('clamd')
const ffmpeg = requires('ffmpeg')

describeStorages.skipIf(!clamd.met || !ffmpeg.met)('a deleted media item', (storage) => {
  let landfall: Landfall
  afterEach(() => landfall?.close())

  const start = async (env: Record<string, string> = {}) => {
    landfall = await startLandfall({ storage, env })
    return await process(landfall, 'alice', await jpeg({ width: 640, height: 480 }))
  }
  const ask = (method: string, path: string, sub = 'alice') =>
    landfall.as(sub)(`/api/v1/media/${path}`, { method })
  const codeOf = async (answer: Response) => [answer.status, ((await answer.json()) as { code: string }).code]
  const publicKeys = async () => (await landfall.stored.keys()).filter((key) => key.startsWith('public/'))
  const used = async () =>
    ((await (await landfall.as('alice')('/api/v1/quota')).json()) as { bytes: { used: number } }).bytes.used

  it('is restored with all that it had, and can be downloaded', async () => {
    const media = await start()
    const keys = await landfall.stored.keys()
    expect((await ask('DELETE', media.id)).status).toBe(204)
    expect((await ask('GET', media.id)).status).toBe(404)
    expect(await used()).toBe(media.size)
    expect(await codeOf(await ask('POST', `${media.id}/restore`, 'bob'))).toEqual([404, 'not-found'])
    expect(await codeOf(await ask('POST', `${newMediaId()}/restore`))).toEqual([404, 'not-found'])
    for (let times = 0; times < 2; times++) {
      const answer = await ask('POST', `${media.id}/restore`)
      expect(answer.status).toBe(200)
      expect(await answer.json()).toMatchObject({
        ...media,
        contentUrl: expect.any(String),
        thumbnailUrl: expect.any(String),
      })
    }
    const content = await ask('GET', `${media.id}/content`)
    expect((await content.arrayBuffer()).byteLength).toBe(media.size)
    expect(await landfall.stored.keys()).toEqual(keys)
    expect(await used()).toBe(media.size)
  })

  it('that is purged is removed at once, counts no more and is gone', async () => {
    const media = await start()
    const live = await process(landfall, 'alice', await jpeg({ width: 500, height: 400 }))
    expect((await ask('DELETE', media.id)).status).toBe(204)
    expect((await ask('DELETE', `${media.id}?purge=maybe`)).status).toBe(400)
    expect((await ask('DELETE', `${media.id}?purge=true`, 'bob')).status).toBe(404)
    expect((await ask('DELETE', `${media.id}?purge=true`)).status).toBe(204)
    expect(await used()).toBe(live.size)
    expect((await ask('DELETE', `${live.id}?purge=true`)).status).toBe(204)
    expect(await used()).toBe(0)
    await expect.poll(() => landfall.stored.keys(), { timeout: 20_000 }).toEqual([])
    expect((await ask('DELETE', `${live.id}?purge=true`)).status).toBe(404)
    expect(await codeOf(await ask('POST', `${live.id}/restore`))).toEqual([410, 'media-purged'])
    expect(await countedUsage(landfall.db, ['alice'])).toEqual(await impliedUsage(landfall.db, ['alice']))
  })

  it('has its public copy again, under the same address, also where it was being removed', async () => {
    const media: MediaJson & { cdnUrl?: string } = await start({
      PUBLISH: 'copy',
      CDN_URL: 'https://cdn.example',
    })
    const keys = await publicKeys()
    expect(keys).toHaveLength(1)
    // Removed entirely, then as fast as can be, so that the removal is now before, now after it.
    for (let round = 0; round < 6; round++) {
      expect((await ask('DELETE', media.id)).status).toBe(204)
      if (round === 0) await expect.poll(publicKeys, { timeout: 20_000 }).toEqual([])
      expect((await ask('POST', `${media.id}/restore`)).status).toBe(200)
    }
    const settled = async () => {
      const jobs = await landfall.db
        .selectFrom('landfall.renditions')
        .select('kind')
        .where('kind', 'in', ['published', 'unpublished'])
        .execute()
      return [await publicKeys(), jobs.map(({ kind }) => kind)]
    }
    await expect.poll(settled, { timeout: 30_000 }).toEqual([keys, ['published']])
    expect(await (await ask('GET', media.id)).json()).toMatchObject({ cdnUrl: media.cdnUrl })
  }, 60_000)
})
