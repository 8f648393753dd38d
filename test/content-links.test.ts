import { afterAll, beforeAll, expect, it } from 'vitest'
import type { MediaId } from '../ledger/ids.ts'
import { sharedSecret } from '../ledger/secrets.ts'
import { ContentLinks, type LinkTarget } from '../server/auth/content-links.ts'
import { jpeg } from './fixtures/media.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import type { ProblemJson } from './support/raw-http.ts'
import { describeStorages } from './support/storages.ts'
import { type MediaJson, process } from './support/uploads.ts'

const HOUR_MS = 3_600_000
const TARGETS: readonly LinkTarget[] = ['content', 'thumbnail']

describeStorages('a link to content, followed without a token', (storage) => {
  let landfall: Landfall
  let media: MediaJson
  let another: MediaJson
  let links: ContentLinks

  beforeAll(async () => {
    landfall = await startLandfall({ storage, env: { SCAN: 'off' } })
    media = await process(landfall, 'alice', await jpeg({ width: 640, height: 480 }))
    another = await process(landfall, 'alice', await jpeg({ width: 480, height: 320 }))
    // The server has made it already, so what is proposed here does not count.
    const secret = await sharedSecret(landfall.db, 'content-links', () => Buffer.alloc(32))
    links = new ContentLinks(secret)
  })
  afterAll(() => landfall?.close())

  const linkOf = (target: LinkTarget) => (target === 'content' ? media.contentUrl : media.thumbnailUrl)

  async function follow(link: string): Promise<{ status: number; code?: string; challenge: string | null }> {
    const response = await fetch(new URL(link, landfall.url))
    const challenge = response.headers.get('WWW-Authenticate')
    if (response.ok) {
      await response.body?.cancel()
      return { status: response.status, challenge }
    }
    return { status: response.status, code: ((await response.json()) as ProblemJson).code, challenge }
  }
  const REFUSED = { status: 401, code: 'token-invalid', challenge: 'Bearer' }

  it.each(TARGETS)('gives the %s', async (target) => {
    expect(await follow(linkOf(target))).toMatchObject({ status: 200 })
    expect(await follow(links.sign(media.id as MediaId, target))).toMatchObject({ status: 200 })
  })

  it.each(TARGETS)(
    'to the %s is refused when any character of its query is altered, dropped or doubled',
    async (target) => {
      const [path, query = ''] = linkOf(target).split('?')
      const values = [...query.matchAll(/=([^&]+)/g)].flatMap((match) =>
        Array.from({ length: match[1]?.length ?? 0 }, (_, index) => match.index + 1 + index),
      )
      expect(values.length).toBeGreaterThan(50)
      const altered = values.flatMap((at) => {
        const before = query.slice(0, at)
        const after = query.slice(at + 1)
        const character = query.charAt(at)
        // The neighbour differs in the lowest bit, which the last character of base64 may not use.
        const neighbour = neighbourOf(character)
        return [before + neighbour + after, before + after, before + character + character + after]
      })
      const answers = new Set<string>()
      for (const one of altered) answers.add(JSON.stringify(await follow(`${path}?${one}`)))
      expect([...answers].map((text) => JSON.parse(text))).toEqual([REFUSED])
    },
  )

  it.each<[string, (query: URLSearchParams) => void]>([
    ['a later expiry', (query) => query.set('expires', String(Number(query.get('expires')) + 3600))],
    ['no expiry', (query) => query.delete('expires')],
    ['an expiry written otherwise', (query) => query.set('expires', ` ${query.get('expires')}`)],
    ['a second expiry', (query) => query.append('expires', '9999999999')],
    ['an empty signature', (query) => query.set('signature', '')],
    ['a second signature', (query) => query.append('signature', query.get('signature') ?? '')],
    ['something after the signature', (query) => query.set('signature', `${query.get('signature')}=`)],
  ])('is refused with %s', async (_what, change) => {
    const url = new URL(media.contentUrl, landfall.url)
    change(url.searchParams)
    expect(await follow(url.href)).toEqual(REFUSED)
  })

  it('is refused without its signature, like any request without a token', async () => {
    const url = new URL(media.contentUrl, landfall.url)
    url.searchParams.delete('signature')
    expect(await follow(url.href)).toMatchObject({ status: 401, code: 'token-missing' })
  })

  it('is good for its own target and its own media only', async () => {
    expect(await follow(media.contentUrl.replace('/content?', '/thumbnail?'))).toEqual(REFUSED)
    expect(await follow(media.thumbnailUrl.replace('/thumbnail?', '/content?'))).toEqual(REFUSED)
    expect(await follow(media.contentUrl.replace(media.id, another.id))).toEqual(REFUSED)
  })

  it('is good for nothing but content: not for facts, and not for deletion', async () => {
    const { search } = new URL(media.contentUrl, landfall.url)
    for (const method of ['GET', 'DELETE']) {
      const response = await fetch(`${landfall.url}/api/v1/media/${media.id}${search}`, { method })
      expect(response.status).toBe(401)
    }
  })

  it('is refused once it has expired, which is one to two hours after it was given', async () => {
    const id = media.id as MediaId
    expect(await follow(links.sign(id, 'content', Date.now() - 2 * HOUR_MS))).toEqual({
      status: 401,
      code: 'token-expired',
      challenge: 'Bearer',
    })
    expect((await follow(links.sign(id, 'content', Date.now() - HOUR_MS + 60_000))).status).toBe(200)
  })

  it('is the same for an hour, so that caches work', () => {
    const id = media.id as MediaId
    const hour = Math.floor(Date.now() / HOUR_MS) * HOUR_MS
    expect(links.sign(id, 'content', hour)).toBe(links.sign(id, 'content', hour + HOUR_MS - 1))
    expect(links.sign(id, 'content', hour)).not.toBe(links.sign(id, 'content', hour + HOUR_MS))
  })

  it('under another server’s secret is refused', async () => {
    const foreign = new ContentLinks(Buffer.alloc(32, 1))
    expect(await follow(foreign.sign(media.id as MediaId, 'content'))).toEqual(REFUSED)
  })

  it('is over when the media is deleted', async () => {
    expect((await follow(another.contentUrl)).status).toBe(200)
    await landfall.as('alice')(`/api/v1/media/${another.id}`, { method: 'DELETE' })
    expect(await follow(another.contentUrl)).toMatchObject({ status: 404, code: 'not-found' })
    expect(await follow(another.thumbnailUrl)).toMatchObject({ status: 404, code: 'not-found' })
  })
})

/** The next character of the URL-safe base64 alphabet, or of the digits. */
function neighbourOf(character: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  return alphabet.charAt(alphabet.indexOf(character) ^ 1)
}
