import { expectContinue } from '../kit/continue.ts'
import {
  expectHeader,
  expectStatus,
  expectSuccess,
  expectThat,
  headerOf,
  isRefusal,
} from '../kit/expectations.ts'
import { mediaBytes } from '../kit/peer.ts'
import { type Declared, rowsOf } from '../kit/row.ts'
import { orElse } from '../kit/waits.ts'
import {
  append,
  creation,
  expectCreatable,
  expectCreated,
  expectOffset,
  METADATA,
  OFFSET_STREAM,
  open,
  SIZE,
} from './client.ts'
import { TUS } from './text.ts'

const EARLY_WITHIN_MS = 5000

export const creationWithUploadRows: readonly Declared[] = rowsOf(
  { protocol: 'tus', needs: ['creation', 'creation-with-upload'] },
  [
    {
      id: 'tus-with-upload-chunk',
      asks: TUS.withUpload,
      requirement:
        'The answer to a creation with some bytes is 201 and tells in Upload-Offset how many were taken.',
      after: ['tus-creation-location', 'tus-head-offset-of-new'],
      async check(peer) {
        const bytes = mediaBytes(SIZE)
        const upload = await expectCreated(peer, { bytes, body: bytes.subarray(0, 1000) })
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
      asks: TUS.withUploadTaken,
      requirement: 'As many as possible of the bytes of a creation are taken.',
      after: ['tus-with-upload-chunk'],
      async check(peer) {
        const bytes = mediaBytes(SIZE)
        const { created } = await expectCreated(peer, { bytes, body: bytes.subarray(0, 1000) })
        expectHeader(created, 'Upload-Offset', '1000')
      },
    },
    {
      id: 'tus-with-upload-whole',
      asks: TUS.withUploadTaken,
      requirement: 'All bytes that come with a creation are taken, which then completes the upload.',
      after: ['tus-with-upload-chunk', 'tus-with-upload-all-taken'],
      async check(peer) {
        const bytes = mediaBytes(SIZE)
        const upload = await expectCreated(peer, { bytes, body: bytes })
        expectHeader(upload.created, 'Upload-Offset', String(SIZE))
        await expectOffset(peer, upload, SIZE)
      },
    },
    {
      id: 'tus-with-upload-continued',
      asks: TUS.withUpload,
      requirement: 'An upload that was created with some bytes goes on with PATCH where the answer says.',
      after: ['tus-patch-appends', 'tus-with-upload-chunk'],
      async check(peer) {
        const bytes = mediaBytes(SIZE)
        const upload = await expectCreated(peer, { bytes, body: bytes.subarray(0, 1000) })
        const answer = await append(peer, upload, { from: Number(headerOf(upload.created, 'Upload-Offset')) })
        expectSuccess(answer)
        await expectOffset(peer, upload, SIZE)
      },
    },
    {
      id: 'tus-with-upload-chunked',
      asks: TUS.withUploadChunked,
      requirement: 'The bytes of a creation may come in chunks, without a Content-Length.',
      after: ['tus-with-upload-chunk', 'tus-patch-chunked'],
      async check(peer) {
        const bytes = mediaBytes(SIZE)
        const { created } = await expectCreated(peer, {
          bytes,
          body: bytes.subarray(0, 1000),
          isChunked: true,
        })
        expectHeader(created, 'Upload-Offset', '1000')
      },
    },
    {
      id: 'tus-with-upload-deferred',
      asks: TUS.withUpload,
      requirement: 'A creation may bring bytes and defer the length.',
      needs: ['creation-defer-length'],
      after: ['tus-with-upload-chunk'],
      async check(peer) {
        const bytes = mediaBytes(SIZE)
        const upload = await expectCreated(peer, { bytes, length: null, body: bytes.subarray(0, 1000) })
        await expectOffset(peer, upload, Number(headerOf(upload.created, 'Upload-Offset')))
      },
    },
    {
      id: 'tus-with-upload-content-type',
      asks: TUS.withUploadSimilar,
      requirement: 'A creation with bytes of another content type gets 415, as a PATCH does.',
      after: ['tus-patch-content-type'],
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
      asks: TUS.lengthIsTheSize,
      requirement: 'A creation that brings more bytes than its length does not keep them.',
      async check(peer) {
        await expectCreatable(peer)
        const answer = await creation(peer, { length: 1500, body: mediaBytes(2000) })
        if (isRefusal(answer)) return
        expectSuccess(answer)
        const offset = Number(answer.headers.get('Upload-Offset'))
        expectThat(offset <= 1500, `an upload of 1500 bytes stands at ${offset}`)
      },
    },
    {
      id: 'tus-with-upload-continue',
      asks: TUS.continue,
      requirement: 'A client that expects it (Expect: 100-continue) is told to go on before it sends.',
      after: ['tus-creation-location', 'tus-patch-continue'],
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
        await expectContinue(exchange)
        await exchange.send(mediaBytes(SIZE))
        const answer = await exchange.answer
        expectSuccess(answer)
        peer.locate(headerOf(answer, 'Location'))
      },
    },
    {
      id: 'tus-with-upload-refused-early',
      asks: TUS.withUploadEarly,
      requirement: 'A creation that is refused is refused before a client that waits has sent its bytes.',
      needs: ['max-size'],
      after: ['tus-patch-refused-early', 'tus-creation-too-large'],
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
        const status = exchange.answer.then((answer) => answer.status)
        const answered = await orElse(status, EARLY_WITHIN_MS, undefined)
        expectThat(answered !== undefined, `no answer within ${EARLY_WITHIN_MS / 1000} s, no byte being sent`)
      },
    },
  ],
)
