import { expectHeader, expectRefusal, expectStatus, expectThat } from '../kit/expectations.ts'
import { mediaBytes } from '../kit/peer.ts'
import { type Row, rowsOf } from '../kit/row.ts'
import { append, create, createFilled, expectOffset, head, SIZE } from './client.ts'

const HALF = SIZE / 2

export const patchRows: readonly Row[] = rowsOf({ protocol: 'tus', section: 'PATCH' }, [
  {
    id: 'tus-patch-status',
    level: 'MUST',
    requirement: 'PATCH succeeds with 204.',
    check: async (peer) => expectStatus(await append(peer, await create(peer), { from: 0, to: HALF }), 204),
  },
  {
    id: 'tus-patch-new-offset',
    level: 'MUST',
    requirement:
      'The answer to PATCH tells in Upload-Offset where the upload stands now, and HEAD tells the same.',
    async check(peer) {
      const upload = await createFilled(peer, 1000)
      expectHeader(upload.appended, 'Upload-Offset', '1000')
      expectHeader(await append(peer, upload, { from: 1000, to: 2500 }), 'Upload-Offset', '2500')
      await expectOffset(peer, upload, 2500)
    },
  },
  {
    id: 'tus-patch-many',
    level: 'MUST',
    requirement: 'An upload may come in many small PATCH requests, one byte being enough for one.',
    async check(peer) {
      const upload = await create(peer)
      let from = 0
      for (const to of [1, 2, 40, 41, 1000, 4096, SIZE - 1, SIZE]) {
        const answer = await append(peer, upload, { from, to })
        expectStatus(answer, 204)
        expectHeader(answer, 'Upload-Offset', String(to))
        from = to
      }
    },
  },
  {
    id: 'tus-patch-whole',
    level: 'MUST',
    requirement: 'The bytes of an upload may all come in one PATCH request.',
    async check(peer) {
      const answer = await append(peer, await create(peer), { from: 0 })
      expectStatus(answer, 204)
      expectHeader(answer, 'Upload-Offset', String(SIZE))
    },
  },
  {
    id: 'tus-patch-empty',
    level: 'MUST',
    requirement: 'PATCH without bytes at the current offset succeeds and leaves the offset where it is.',
    async check(peer) {
      const upload = await createFilled(peer, 1000)
      const answer = await append(peer, upload, { from: 1000, to: 1000 })
      expectStatus(answer, 204)
      expectHeader(answer, 'Upload-Offset', '1000')
    },
  },
  {
    id: 'tus-patch-repeated-end',
    level: 'SHOULD',
    requirement:
      'PATCH without bytes at the end of a complete upload succeeds: the first answer may have been lost.',
    async check(peer) {
      const upload = await createFilled(peer, SIZE)
      const answer = await append(peer, upload, { from: SIZE })
      expectStatus(answer, 204)
      expectHeader(answer, 'Upload-Offset', String(SIZE))
    },
  },
  {
    id: 'tus-patch-conflict-beyond',
    level: 'MUST',
    requirement: 'PATCH beyond the current offset gets 409 and appends nothing.',
    async check(peer) {
      const upload = await createFilled(peer, 1000)
      for (const from of [1001, HALF, SIZE - 1]) expectStatus(await append(peer, upload, { from }), 409)
      await expectOffset(peer, upload, 1000)
    },
  },
  {
    id: 'tus-patch-conflict-behind',
    level: 'MUST',
    requirement: 'PATCH behind the current offset gets 409 and changes nothing.',
    async check(peer) {
      const upload = await createFilled(peer, 1000)
      for (const from of [0, 999]) expectStatus(await append(peer, upload, { from }), 409)
      await expectOffset(peer, upload, 1000)
    },
  },
  {
    id: 'tus-patch-conflict-complete',
    level: 'MUST',
    requirement: 'PATCH on a complete upload at another offset than its end gets 409 and changes nothing.',
    async check(peer) {
      const upload = await createFilled(peer, SIZE)
      expectStatus(await append(peer, upload, { from: 0 }), 409)
      await expectOffset(peer, upload, SIZE)
    },
  },
  {
    id: 'tus-patch-malformed-offset',
    level: 'MUST',
    requirement: 'PATCH with an Upload-Offset that is no whole number is refused and appends nothing.',
    async check(peer) {
      const upload = await create(peer)
      for (const offset of ['-1', '-0.5', '0.5', 'zero', '', '0, 0', '0x0', '1e0']) {
        expectRefusal(await append(peer, upload, { from: 0, to: HALF, headers: { 'Upload-Offset': offset } }))
        await expectOffset(peer, upload, 0)
      }
    },
  },
  {
    id: 'tus-patch-no-offset',
    level: 'MUST',
    requirement: 'PATCH without Upload-Offset is refused and appends nothing.',
    async check(peer) {
      const upload = await create(peer)
      expectRefusal(
        await append(peer, upload, { from: 0, to: HALF, headers: { 'Upload-Offset': undefined } }),
      )
      await expectOffset(peer, upload, 0)
    },
  },
  ...[
    ['other', 'another content type than application/offset+octet-stream', 'video/mp4'],
    ['none', 'no content type', undefined],
  ].map(([id, what, type]) => ({
    id: `tus-patch-content-type-${id}`,
    level: 'SHOULD' as const,
    requirement: `PATCH with ${what} gets 415 and appends nothing.`,
    check: async (peer: Parameters<Row['check']>[0]) => {
      const upload = await create(peer)
      expectStatus(await append(peer, upload, { from: 0, to: HALF, headers: { 'Content-Type': type } }), 415)
      await expectOffset(peer, upload, 0)
    },
  })),
  {
    id: 'tus-patch-unknown',
    level: 'SHOULD',
    requirement: 'PATCH on what does not exist gets 404.',
    async check(peer) {
      const upload = await create(peer)
      expectStatus(
        await append(peer, { ...upload, url: peer.unknownUrl(upload.url) }, { from: 0, to: HALF }),
        404,
      )
    },
  },
  {
    id: 'tus-patch-beyond-length',
    level: 'MUST',
    requirement: 'Upload-Length is the size of the entire upload: bytes beyond it are never part of it.',
    async check(peer) {
      for (const isChunked of [false, true]) {
        const { url, ...upload } = await create(peer)
        const bytes = Buffer.concat([upload.bytes, mediaBytes(100)])
        await append(peer, { ...upload, url, bytes }, { from: 0, isChunked })
        const answer = await head(peer, url)
        expectHeader(answer, 'Upload-Length', String(SIZE))
        const offset = Number(answer.headers.get('Upload-Offset'))
        expectThat(offset <= SIZE, `an upload of ${SIZE} bytes stands at ${offset}`)
      }
    },
  },
  {
    id: 'tus-patch-chunked',
    level: 'SHOULD',
    requirement: 'PATCH may come in chunks, without a Content-Length.',
    async check(peer) {
      const upload = await create(peer)
      const answer = await append(peer, upload, { from: 0, isChunked: true })
      expectStatus(answer, 204)
      expectHeader(answer, 'Upload-Offset', String(SIZE))
    },
  },
])
