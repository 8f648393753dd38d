import {
  expectHeader,
  expectNoHeader,
  expectStatus,
  expectThat,
  headerOf,
  isRefusal,
} from '../kit/expectations.ts'
import { mediaBytes } from '../kit/peer.ts'
import { type Row, rowsOf } from '../kit/row.ts'
import {
  append,
  create,
  creation,
  expectCreatable,
  expectOffset,
  METADATA,
  OFFSET_STREAM,
  open,
  SIZE,
} from './client.ts'

export const creationWithUploadRows: readonly Row[] = rowsOf(
  { protocol: 'tus', section: 'Creation With Upload', needs: ['creation', 'creation-with-upload'] },
  [
    {
      id: 'tus-with-upload-chunk',
      level: 'MUST',
      requirement:
        'The answer to a creation with some bytes is 201 and tells in Upload-Offset how many were taken.',
      async check(peer) {
        const bytes = mediaBytes(SIZE)
        const upload = await create(peer, { bytes, body: bytes.subarray(0, 1000) })
        const offset = headerOf(upload.created, 'Upload-Offset')
        expectThat(
          /^\d+$/.test(offset) && Number(offset) <= 1000,
          `Upload-Offset is ${offset} after 1000 bytes`,
        )
        await expectOffset(peer, upload, Number(offset))
      },
    },
    {
      id: 'tus-with-upload-all-taken',
      level: 'SHOULD',
      requirement: 'As many as possible of the bytes of a creation are taken.',
      async check(peer) {
        const bytes = mediaBytes(SIZE)
        const { created } = await create(peer, { bytes, body: bytes.subarray(0, 1000) })
        expectHeader(created, 'Upload-Offset', '1000')
      },
    },
    {
      id: 'tus-with-upload-whole',
      level: 'MUST',
      requirement: 'All bytes may come with the creation, which then completes the upload.',
      async check(peer) {
        const bytes = mediaBytes(SIZE)
        const upload = await create(peer, { bytes, body: bytes })
        expectHeader(upload.created, 'Upload-Offset', String(SIZE))
        await expectOffset(peer, upload, SIZE)
      },
    },
    {
      id: 'tus-with-upload-continued',
      level: 'MUST',
      requirement: 'An upload that was created with some bytes goes on with PATCH where the answer says.',
      async check(peer) {
        const bytes = mediaBytes(SIZE)
        const upload = await create(peer, { bytes, body: bytes.subarray(0, 1000) })
        const answer = await append(peer, upload, { from: Number(headerOf(upload.created, 'Upload-Offset')) })
        expectStatus(answer, 204)
        expectHeader(answer, 'Upload-Offset', String(SIZE))
      },
    },
    {
      id: 'tus-with-upload-chunked',
      level: 'SHOULD',
      requirement: 'The bytes of a creation may come in chunks, without a Content-Length.',
      async check(peer) {
        const bytes = mediaBytes(SIZE)
        const { created } = await create(peer, { bytes, body: bytes.subarray(0, 1000), isChunked: true })
        expectHeader(created, 'Upload-Offset', '1000')
      },
    },
    {
      id: 'tus-with-upload-deferred',
      level: 'MUST',
      requirement: 'A creation may bring bytes and defer the length.',
      needs: ['creation-defer-length'],
      async check(peer) {
        const bytes = mediaBytes(SIZE)
        const upload = await create(peer, { bytes, length: null, body: bytes.subarray(0, 1000) })
        await expectOffset(peer, upload, Number(headerOf(upload.created, 'Upload-Offset')))
      },
    },
    {
      id: 'tus-with-upload-content-type',
      level: 'SHOULD',
      requirement: 'A creation with bytes of another content type gets 415, as a PATCH does.',
      async check(peer) {
        const answer = await creation(peer, {
          body: mediaBytes(SIZE),
          headers: { 'Content-Type': 'video/mp4' },
        })
        expectStatus(answer, 415)
      },
    },
    {
      id: 'tus-with-upload-beyond-length',
      level: 'MUST',
      requirement: 'A creation that brings more bytes than its length does not keep them.',
      async check(peer) {
        await expectCreatable(peer)
        const answer = await creation(peer, { length: 1500, body: mediaBytes(2000) })
        if (isRefusal(answer)) return
        expectStatus(answer, 201)
        expectThat(
          Number(answer.headers.get('Upload-Offset')) <= 1500,
          'an upload of 1500 bytes has more than that',
        )
      },
    },
    {
      id: 'tus-with-upload-continue',
      level: 'SHOULD',
      requirement: 'A client that expects it (Expect: 100-continue) is told to go on before it sends.',
      async check(peer) {
        const exchange = await open(peer, {
          method: 'POST',
          length: SIZE,
          headers: {
            Expect: '100-continue',
            'Upload-Length': String(SIZE),
            'Upload-Metadata': METADATA,
            'Content-Type': OFFSET_STREAM,
          },
        })
        const interim = await exchange.interimThat(({ status }) => status === 100, 5000)
        expectThat(interim !== undefined, 'no 100 (Continue) within 5 s')
        await exchange.send(mediaBytes(SIZE))
        const answer = await exchange.answer
        expectStatus(answer, 201)
        peer.locate(headerOf(answer, 'Location'))
      },
    },
    {
      id: 'tus-with-upload-refused-early',
      level: 'SHOULD',
      requirement: 'A creation that is refused is refused before a client that waits has sent its bytes.',
      needs: ['max-size'],
      async check(peer) {
        const exchange = await open(peer, {
          method: 'POST',
          length: SIZE,
          headers: {
            Expect: '100-continue',
            'Upload-Length': String((peer.capabilities.maxSize ?? 0) + 1),
            'Upload-Metadata': METADATA,
            'Content-Type': OFFSET_STREAM,
          },
        })
        const answer = await exchange.answer
        expectStatus(answer, 413)
        expectNoHeader(answer, 'Location')
      },
    },
  ],
)
