import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { shortVideo } from './fixtures/media.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { describeStorages } from './support/storages.ts'
import { outcome, sendFile } from './support/uploads.ts'

const TARGETS = [
  'content',
  'thumbnail',
  'storyboard',
  'storyboard.vtt',
  'hls.m3u8',
  'hls/1.m3u8',
  'hls/1.mp4',
]

describeStorages('a media item', (storage) => {
  let landfall: Landfall
  let id: string
  beforeAll(async () => {
    landfall = await startLandfall({
      storage,
      env: { SCAN: 'off', HLS: 'on', PUBLIC_MEDIA: 'allowed' },
    })
    const { uploadId } = await sendFile(landfall, 'alice', await shortVideo())
    const media = await outcome(landfall, 'alice', uploadId)
    expect(media).toMatchObject({ status: 'ready', visibility: 'private' })
    id = media.id
    const hls = async () =>
      ((await (await landfall.as('alice')(`/api/v1/media/${id}`)).json()) as { hlsUrl: string | null }).hlsUrl
    await vi.waitUntil(async () => (await hls()) !== null, { timeout: 60_000, interval: 100 })
  })
  afterAll(() => landfall?.close())

  const patch = (body: object, at = landfall, sub = 'alice') =>
    at.as(sub)(`/api/v1/media/${id}`, {
      method: 'PATCH',
      headers: { 'Content-Type': 'application/merge-patch+json' },
      body: JSON.stringify(body),
    })
  const anonymous = (target: string, at = landfall) => fetch(`${at.url}/api/v1/media/${id}/${target}`)
  const outcomes = async (at = landfall) => {
    const answers = await Promise.all(TARGETS.map((target) => anonymous(target, at)))
    await Promise.all(answers.map((answer) => answer.body?.cancel()))
    return new Set(answers.map(({ status }) => status))
  }

  it('is private, and like none that exists', async () => {
    expect(await outcomes()).toEqual(new Set([401]))
    const [answer, absent] = await Promise.all([
      anonymous('content'),
      fetch(`${landfall.url}/api/v1/media/${'A'.repeat(22)}/content`),
    ])
    const shown = async (response: Response) => ({ ...(await response.json()), requestId: null })
    expect(await shown(answer)).toEqual(await shown(absent))
    expect((await patch({ visibility: 'public' }, landfall, 'bob')).status).toBe(404)
    expect((await patch({ visibility: 'secret' })).status).toBe(400)
  })

  it('is there for everybody once it is public, by addresses that stay, and for nobody afterwards', async () => {
    const changed = await patch({ visibility: 'public' })
    const { visibility, contentUrl, hlsUrl } = (await changed.json()) as Record<string, string>
    expect([visibility, contentUrl, hlsUrl]).toEqual([
      'public',
      `/api/v1/media/${id}/content`,
      `/api/v1/media/${id}/hls.m3u8`,
    ])
    expect(await outcomes()).toEqual(new Set([200]))
    const content = await anonymous('content')
    expect(content.headers.get('Cache-Control')).toBe('public, max-age=300')
    const { path } = await shortVideo()
    expect(Buffer.from(await content.arrayBuffer()).equals(await readFile(path))).toBe(true)
    for (const target of ['hls.m3u8', 'hls/1.m3u8', 'storyboard.vtt'])
      expect(await (await anonymous(target)).text()).not.toContain('signature')
    // All else is as before.
    for (const path of ['', '/source', '/links'])
      expect((await fetch(`${landfall.url}/api/v1/media/${id}${path}`)).status).toBe(401)
    expect((await anonymous('content?disposition=inline')).status).toBe(400)
    expect((await anonymous('content?expires=1&signature=x')).status).toBe(401)
    const wrong = { headers: { Authorization: 'Bearer x' } }
    expect((await fetch(`${landfall.url}/api/v1/media/${id}/content`, wrong)).status).toBe(401)
    expect((await landfall.as('bob')(`/api/v1/media/${id}/content`)).status).toBe(404)

    const strict = await startLandfall({ beside: landfall, withoutWorker: true, env: { SCAN: 'off' } })
    expect(await outcomes(strict)).toEqual(new Set([401]))
    expect((await patch({ visibility: 'public' }, strict)).status).toBe(403)
    expect((await patch({ title: 'A film' }, strict)).status).toBe(200)
    await strict.close()

    await patch({ visibility: 'private' })
    expect(await outcomes()).toEqual(new Set([401]))
    await patch({ visibility: 'public' })
    await landfall.as('alice')(`/api/v1/media/${id}`, { method: 'DELETE' })
    expect(await outcomes()).toEqual(new Set([401]))
  })
})
