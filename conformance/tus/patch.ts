import {
  expectFailure,
  expectHeader,
  expectStatus,
  expectSuccess,
  expectThat,
  isSuccess,
} from '../kit/expectations.ts'
import { mediaBytes, type Peer } from '../kit/peer.ts'
import { type Declared, rowsOf } from '../kit/row.ts'
import { append, create, createFilled, expectOffset, head, offsetOf, SIZE, type Upload } from './client.ts'
import { TUS } from './text.ts'

const HALF = SIZE / 2

/** A PATCH of 100 bytes more than the upload has. */
async function appendBeyond(peer: Peer, { url, bytes }: Upload, isChunked: boolean) {
  const more = Buffer.concat([bytes, mediaBytes(100)])
  return await append(peer, { url, bytes: more }, { from: 0, isChunked })
}

export const patchRows: readonly Declared[] = [
  ...rowsOf({ protocol: 'tus', after: ['tus-head-offset-of-new'] }, [
    {
      id: 'tus-patch-appends',
      asks: TUS.core,
      requirement: 'PATCH appends bytes at the current offset, and HEAD tells that they are there.',
      async check(peer) {
        const upload = await create(peer)
        expectSuccess(await append(peer, upload, { from: 0, to: HALF }))
        await expectOffset(peer, upload, HALF)
      },
    },
  ]),
  ...rowsOf({ protocol: 'tus', after: ['tus-patch-appends'] }, [
    {
      id: 'tus-patch-status',
      asks: TUS.patchStatus,
      requirement: 'PATCH succeeds with 204.',
      check: async (peer) => expectStatus(await append(peer, await create(peer), { from: 0, to: HALF }), 204),
    },
    {
      id: 'tus-patch-new-offset',
      asks: TUS.patchOffset,
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
      asks: TUS.patchSizes,
      requirement: 'An upload may come in many small PATCH requests, one byte being enough for one.',
      async check(peer) {
        const upload = await create(peer)
        let from = 0
        for (const to of [1, 2, 40, 41, 1000, 4096, SIZE - 1, SIZE]) {
          expectSuccess(await append(peer, upload, { from, to }))
          from = to
        }
        await expectOffset(peer, upload, SIZE)
      },
    },
    {
      id: 'tus-patch-whole',
      asks: TUS.patchSizes,
      requirement: 'The bytes of an upload may all come in one PATCH request.',
      async check(peer) {
        const upload = await create(peer)
        expectSuccess(await append(peer, upload, { from: 0 }))
        await expectOffset(peer, upload, SIZE)
      },
    },
    {
      id: 'tus-patch-empty',
      asks: TUS.patchAccepted,
      requirement: 'PATCH without bytes at the current offset succeeds and leaves the offset where it is.',
      async check(peer) {
        const upload = await createFilled(peer, 1000)
        expectSuccess(await append(peer, upload, { from: 1000, to: 1000 }))
        await expectOffset(peer, upload, 1000)
      },
    },
    {
      id: 'tus-patch-repeated-end',
      asks: TUS.patchAccepted,
      requirement:
        'PATCH without bytes at the end of a complete upload succeeds: the first answer may have been lost.',
      after: ['tus-patch-empty'],
      async check(peer) {
        const upload = await createFilled(peer, SIZE)
        expectSuccess(await append(peer, upload, { from: SIZE }))
        await expectOffset(peer, upload, SIZE)
      },
    },
    {
      id: 'tus-patch-conflict-beyond',
      asks: TUS.patchConflict,
      requirement: 'PATCH beyond the current offset gets 409 and appends nothing.',
      async check(peer) {
        const upload = await createFilled(peer, 1000)
        for (const from of [1001, HALF, SIZE - 1]) expectStatus(await append(peer, upload, { from }), 409)
        await expectOffset(peer, upload, 1000)
      },
    },
    {
      id: 'tus-patch-conflict-behind',
      asks: TUS.patchConflict,
      requirement: 'PATCH behind the current offset gets 409 and changes nothing.',
      after: ['tus-patch-conflict-beyond'],
      async check(peer) {
        const upload = await createFilled(peer, 1000)
        for (const from of [0, 999]) expectStatus(await append(peer, upload, { from }), 409)
        await expectOffset(peer, upload, 1000)
      },
    },
    {
      id: 'tus-patch-conflict-complete',
      asks: TUS.patchConflict,
      requirement: 'PATCH on a complete upload at another offset than its end gets 409 and changes nothing.',
      after: ['tus-patch-conflict-beyond'],
      async check(peer) {
        const upload = await createFilled(peer, SIZE)
        expectStatus(await append(peer, upload, { from: 0 }), 409)
        await expectOffset(peer, upload, SIZE)
      },
    },
    {
      id: 'tus-patch-malformed-offset',
      asks: TUS.patchConflict,
      requirement: 'PATCH with an Upload-Offset that is no whole number is refused and appends nothing.',
      async check(peer) {
        const upload = await create(peer)
        for (const offset of ['-1', '-0.5', '0.5', 'zero', '', '0, 0', '0x0', '1e0']) {
          expectFailure(
            await append(peer, upload, { from: 0, to: HALF, headers: { 'Upload-Offset': offset } }),
          )
          await expectOffset(peer, upload, 0)
        }
      },
    },
    {
      id: 'tus-patch-no-offset',
      asks: TUS.patchConflict,
      requirement: 'PATCH without Upload-Offset is refused and appends nothing.',
      async check(peer) {
        const upload = await create(peer)
        expectFailure(
          await append(peer, upload, { from: 0, to: HALF, headers: { 'Upload-Offset': undefined } }),
        )
        await expectOffset(peer, upload, 0)
      },
    },
    {
      id: 'tus-patch-content-type',
      asks: TUS.patchContentType,
      requirement: 'PATCH with another content type than application/offset+octet-stream, or none, gets 415.',
      async check(peer) {
        const upload = await create(peer)
        for (const type of ['video/mp4', undefined]) {
          const headers = { 'Content-Type': type }
          expectStatus(await append(peer, upload, { from: 0, to: HALF, headers }), 415)
          await expectOffset(peer, upload, 0)
        }
      },
    },
    {
      id: 'tus-patch-content-encoding',
      asks: TUS.contentCoding,
      requirement: 'PATCH with a Content-Encoding gets 415: its bytes are not those of the file.',
      async check(peer) {
        const upload = await create(peer)
        const headers = { 'Content-Encoding': 'gzip' }
        expectStatus(await append(peer, upload, { from: 0, to: HALF, headers }), 415)
        await expectOffset(peer, upload, 0)
      },
    },
    {
      id: 'tus-patch-unknown',
      asks: TUS.patchUnknown,
      requirement: 'PATCH on what does not exist gets 404.',
      async check(peer) {
        const upload = await create(peer)
        const nothing = { ...upload, url: peer.unknownUrl(upload.url) }
        expectStatus(await append(peer, nothing, { from: 0, to: HALF }), 404)
      },
    },
    {
      id: 'tus-patch-beyond-length',
      asks: TUS.lengthIsTheSize,
      requirement: 'Upload-Length is the size of the entire upload: bytes beyond it are never part of it.',
      after: ['tus-head-length'],
      async check(peer) {
        for (const isChunked of [false, true]) {
          const upload = await create(peer)
          await appendBeyond(peer, upload, isChunked)
          const answer = await head(peer, upload.url)
          // Some servers end an upload whose client sends too much.
          if (!isSuccess(answer)) continue
          expectHeader(answer, 'Upload-Length', String(SIZE))
          const offset = Number(answer.headers.get('Upload-Offset'))
          expectThat(offset <= SIZE, `an upload of ${SIZE} bytes stands at ${offset}`)
        }
      },
    },
    {
      id: 'tus-patch-beyond-length-kept',
      asks: TUS.patchStores,
      requirement: 'Of a PATCH in chunks that goes beyond the length, what belongs to the upload is kept.',
      after: ['tus-patch-beyond-length', 'tus-patch-chunked'],
      async check(peer) {
        const upload = await create(peer)
        await appendBeyond(peer, upload, true)
        const offset = await offsetOf(peer, upload)
        expectThat(offset > 0, `${SIZE} bytes and 100 more were sent, and none of them is kept`)
      },
    },
    {
      id: 'tus-patch-chunked',
      asks: TUS.patchChunked,
      requirement: 'PATCH may come in chunks, without a Content-Length.',
      async check(peer) {
        const upload = await create(peer)
        expectSuccess(await append(peer, upload, { from: 0, isChunked: true }))
        await expectOffset(peer, upload, SIZE)
      },
    },
  ]),
]
