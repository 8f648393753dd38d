import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { requires } from '../services/requirements.ts'
import { type CurlAnswer, curl, startCurl } from '../support/curl.ts'
import { type Landfall, startLandfall } from '../support/landfall.ts'
import { OFFSET_STREAM } from '../support/raw-http.ts'
import { sha256Of, videoOfSize } from '../support/s3-landfall.ts'
import { statusOf, untilReceived } from '../support/status.ts'
import { describeStorages } from '../support/storages.ts'
import { createId, metadataHeader } from '../support/tus.ts'
import { outcome } from '../support/uploads.ts'

const hasCurl = requires('curl')
const ffmpeg = requires('ffmpeg')
const clamd = requires('clamd')
const MIB = 1024 * 1024
const SIZE = 13 * MIB
const FIRST = 5 * MIB

type Fields = Record<string, string>

describeStorages.skipIf(!hasCurl.met || !ffmpeg.met || !clamd.met)('curl', (storage) => {
  let landfall: Landfall
  let directory: string
  let video: Buffer
  /** The video, its first bytes, what follows them, and something that is no video. */
  let files: Record<'whole' | 'first' | 'rest' | 'text', string>

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'landfall-clients-'))
    video = await videoOfSize(SIZE, `curl ${storage}`)
    const contents = {
      whole: video,
      first: video.subarray(0, FIRST),
      rest: video.subarray(FIRST),
      text: Buffer.alloc(60 * MIB, 'This is no video, whatever its name says.\n'),
    }
    const at = (name: string) => join(directory, name)
    files = { whole: at('whole'), first: at('first'), rest: at('rest'), text: at('text') }
    for (const [name, bytes] of Object.entries(contents)) await writeFile(at(name), bytes)
    landfall = await startLandfall({ storage, env: { UPLOAD_MAX_OPEN: '100' } })
  })
  afterAll(async () => {
    await landfall?.close()
    await rm(directory, { recursive: true, force: true })
  })

  const url = (path: string) => new URL(path, landfall.url).href
  const bearer = (sub = 'alice') => ({ Authorization: `Bearer ${landfall.token(sub)}` })
  const withFields = (fields: Fields) =>
    Object.entries(fields).flatMap(([name, value]) => ['-H', `${name}: ${value}`])
  const tus = (fields: Fields = {}) => withFields({ ...bearer(), 'Tus-Resumable': '1.0.0', ...fields })
  const patch = (offset: number) => tus({ 'Upload-Offset': String(offset), 'Content-Type': OFFSET_STREAM })
  const draft = (fields: Fields) => withFields({ ...bearer(), ...fields })
  const append = (offset: number) =>
    draft({
      'Upload-Offset': String(offset),
      'Upload-Complete': '?1',
      'Content-Type': 'application/partial-upload',
    })

  const create = () => createId(landfall, 'alice', { size: SIZE, metadata: { filename: 'clip.mp4' } })
  const locationOf = ({ headers }: CurlAnswer) => url(headers.get('Location') ?? '')
  const idIn = (address: string) => address.split('/').at(-1) ?? ''

  async function expectReady(uploadId: string): Promise<void> {
    const media = await outcome(landfall, 'alice', uploadId)
    expect(media).toMatchObject({ status: 'ready', size: SIZE, sha256: sha256Of(video) })
  }

  it('sends a video by tus, first a file and then standard input, and fetches it', async () => {
    const metadata = metadataHeader({ filename: 'clip.mp4', filetype: 'video/mp4' })
    const fields = { 'Upload-Length': String(SIZE), 'Upload-Metadata': metadata }
    const created = await curl(['-X', 'POST', ...tus(fields), url('/files')])
    expect(created.status).toBe(201)
    const address = locationOf(created)

    const first = await curl(['-X', 'PATCH', ...patch(0), '--data-binary', `@${files.first}`, address])
    // Of itself, curl asks before it sends as much as that.
    expect([first.status, first.before, first.sentBytes]).toEqual([204, [100], FIRST])
    const head = await curl(['--head', ...tus(), address])
    expect([head.status, head.headers.get('Upload-Offset')]).toEqual([200, String(FIRST)])
    const early = await curl([...draft({}), address])
    expect([early.status, JSON.parse(String(early.body))]).toMatchObject([409, { code: 'not-ready' }])

    // Of standard input it does not know the length: the body is chunked.
    const input = video.subarray(FIRST)
    const rest = await curl(['-X', 'PATCH', ...patch(FIRST), '-T', '-', address], { input })
    expect([rest.status, rest.headers.get('Upload-Offset')]).toEqual([204, String(SIZE)])
    await expectReady(idIn(address))

    const redirect = await curl([...draft({}), address])
    expect([redirect.status, redirect.headers.has('Location')]).toEqual([303, true])
    const content = await curl(['-L', ...draft({}), address])
    expect([content.status, content.before[0], sha256Of(content.body)]).toEqual([200, 303, sha256Of(video)])
  })

  it('sends a video by the IETF draft in one request', async () => {
    const fields = { 'Upload-Complete': '?1', 'Content-Type': 'video/mp4' }
    const sent = await curl(['-X', 'POST', ...draft(fields), '-T', files.whole, url('/files')])
    expect([sent.status, sent.before, sent.headers.get('Upload-Complete')]).toEqual([201, [100], '?1'])
    expect(sent.headers.get('Upload-Offset')).toBe(String(SIZE))
    await expectReady(idIn(locationOf(sent)))
  })

  it('sends a video by the IETF draft in two requests', async () => {
    const fields = { 'Upload-Complete': '?0', 'Content-Type': 'video/mp4' }
    const begun = await curl(['-X', 'POST', ...draft(fields), '-T', files.first, url('/files')])
    expect([begun.status, begun.headers.get('Upload-Complete')]).toEqual([201, '?0'])
    const address = locationOf(begun)
    const head = await curl(['--head', ...draft({}), address])
    expect([head.status, head.headers.get('Upload-Offset')]).toEqual([204, String(FIRST)])
    const rest = await curl(['-X', 'PATCH', ...append(FIRST), '-T', files.rest, address])
    expect([rest.status, rest.headers.get('Upload-Complete')]).toEqual([201, '?1'])
    await expectReady(idIn(address))
  })

  it.each(['6', '8'])(
    'resumes where it only knows of its upload from a 104 (version %s)',
    async (version) => {
      const fields = {
        ...{ 'Upload-Complete': '?1', 'Upload-Draft-Interop-Version': version },
        'Content-Type': 'video/mp4',
      }
      const running = startCurl([
        ...['-X', 'POST', ...draft(fields), '--limit-rate', '4M', '-T', files.whole, url('/files')],
      ])
      const address = url(await running.header('Location'))
      await untilReceived(landfall, 'alice', idIn(address), 2 * MIB)
      await running.kill()
      expect((await statusOf(landfall, 'alice', idIn(address))).state).toBe('open')

      const interop = ['-H', `Upload-Draft-Interop-Version: ${version}`]
      const head = await curl(['--head', ...draft({}), ...interop, address])
      const offset = Number(head.headers.get('Upload-Offset'))
      expect([head.status, head.headers.get('Upload-Complete')]).toEqual([204, '?0'])
      expect(offset).toBeGreaterThanOrEqual(2 * MIB)
      expect(offset).toBeLessThan(SIZE)
      const input = video.subarray(offset)
      const rest = await curl(['-X', 'PATCH', ...append(offset), ...interop, '-T', '-', address], { input })
      expect([rest.status, rest.headers.get('Upload-Complete')]).toEqual([201, '?1'])
      await expectReady(idIn(address))
    },
  )

  it.each<[string, number, () => Promise<CurlAnswer>]>([
    [
      'without a token',
      401,
      async () => {
        const fields = { 'Upload-Complete': '?1', 'Content-Type': 'video/mp4' }
        return await curl(['-X', 'POST', ...withFields(fields), '-T', files.whole, url('/files')])
      },
    ],
    [
      "to somebody else's upload",
      404,
      async () => {
        const id = await createId(landfall, 'bob', { size: SIZE, metadata: { filename: 'clip.mp4' } })
        return await curl([
          ...['-X', 'PATCH', ...patch(0), '--data-binary', `@${files.whole}`, url(`/files/${id}`)],
        ])
      },
    ],
    [
      'at a wrong offset',
      409,
      async () =>
        await curl([
          ...['-X', 'PATCH', ...patch(17), '--data-binary', `@${files.rest}`],
          url(`/files/${await create()}`),
        ]),
    ],
  ])('does not send a byte %s', async (_what, status, send) => {
    const answer = await send()
    expect([answer.status, answer.before, answer.sentBytes]).toEqual([status, [], 0])
  })

  it('sees why a text is no video while it is still sending it', async () => {
    const fields = { 'Upload-Complete': '?1', 'Content-Type': 'video/mp4' }
    const answer = await curl(['-X', 'POST', ...draft(fields), '-T', files.text, url('/files')])
    expect(answer.status).toBe(415)
    expect(JSON.parse(String(answer.body))).toMatchObject({ code: 'type-not-allowed' })
    expect(answer.sentBytes).toBeLessThan(60 * MIB)
  })
})
