import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { asJpeg } from './support/sample-bytes.ts'
import { create } from './support/tus.ts'

const BYTES = asJpeg(Buffer.alloc(5000, 'x'))

describe('a token that lists what files may be attached to', () => {
  let landfall: Landfall
  beforeAll(async () => {
    landfall = await startLandfall({
      withoutWorker: true,
      env: { AUTH_ATTACH_CLAIM: 'https://app.test/attach', UPLOAD_MAX_OPEN: '100' },
    })
  })
  afterAll(() => landfall?.close())

  const tokenWith = (attach?: unknown, more: object = {}) =>
    landfall.token('alice', {
      ...(attach === undefined ? {} : { 'https://app.test/attach': attach }),
      ...more,
    })
  const metadataOf = (to: string) => {
    const [type = '', id = ''] = to.split(':')
    return { attachedToType: type, attachedToId: id }
  }

  /** Statuses of every way to attach a file. */
  async function attach(token: string, to: string): Promise<number[]> {
    const headers = { Authorization: `Bearer ${token}` }
    const target = { ...landfall, token: () => token }
    const tus = await create(target, '', { size: 5000, metadata: metadataOf(to) })
    const form = new FormData()
    for (const [key, value] of Object.entries(metadataOf(to))) form.append(key, value)
    form.append('file', new Blob([BYTES as BlobPart], { type: 'image/jpeg' }), 'a.jpg')
    const simple = await fetch(`${landfall.url}/api/v1/media`, { method: 'POST', headers, body: form })
    const plain = new FormData()
    plain.append('file', new Blob([BYTES as BlobPart], { type: 'image/jpeg' }), 'a.jpg')
    const made = await fetch(`${landfall.url}/api/v1/media`, { method: 'POST', headers, body: plain })
    const { id } = (await made.json()) as { id: string }
    const patched = await fetch(`${landfall.url}/api/v1/media/${id}`, {
      method: 'PATCH',
      headers: { ...headers, 'Content-Type': 'application/json' },
      body: JSON.stringify({ attachedTo: { type: to.split(':')[0], id: to.split(':')[1] } }),
    })
    return [tus.status, simple.status, patched.status]
  }
  const DONE = [201, 201, 200]
  const REFUSED = [403, 403, 403]

  it.each<[string, unknown, string, number[]]>([
    ['this', ['course:7'], 'course:7', DONE],
    ['this, as a text', 'post:1 course:7', 'course:7', DONE],
    ['everything of its type', ['course:*'], 'course:7', DONE],
    ['another', ['course:70'], 'course:7', REFUSED],
    ['another of a longer type', ['courses:7'], 'course:7', REFUSED],
    ['another type', ['post:*'], 'course:7', REFUSED],
    ['everything, which is no pattern', ['*'], 'course:7', REFUSED],
    ['nothing', [], 'course:7', REFUSED],
    ['nothing, as it has no claim', undefined, 'course:7', REFUSED],
  ])('may attach them where it lists %s', async (_what, claim, to, statuses) => {
    expect(await attach(tokenWith(claim), to)).toEqual(statuses)
  })

  it('of a backend lists everything', async () => {
    expect(await attach(tokenWith(undefined, { scope: 'service' }), 'course:7')).toEqual(DONE)
  })
})
