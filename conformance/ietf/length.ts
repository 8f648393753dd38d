import type { Answer } from '../kit/answer.ts'
import { ofSomeDrafts } from '../kit/clause.ts'
import {
  expectNoHeader,
  expectRefusal,
  expectStatus,
  expectSuccess,
  expectThat,
  isSuccess,
  skip,
} from '../kit/expectations.ts'
import { mediaBytes, type Peer } from '../kit/peer.ts'
import { type Declared, rowsOf } from '../kit/row.ts'
import {
  append,
  create,
  createFilled,
  creation,
  expectComplete,
  expectCompleted,
  expectCreatable,
  expectCreated,
  expectInteger,
  expectOffset,
  head,
  integerIn,
  SIZE,
  type Upload,
} from './client.ts'
import { V6 } from './text-6.ts'
import { V8 } from './text-8.ts'

/** Draft-05 says with which status lengths are refused. */
function expectRefused(peer: Peer, answer: Answer): void {
  if (peer.interop === 6) expectStatus(answer, 400)
  else expectRefusal(answer)
}

/** An append of more than the length of its upload. */
async function exceed(peer: Peer, isChunked: boolean): Promise<{ upload: Upload; answer: Answer }> {
  const upload = await createFilled(peer, 1000, { length: SIZE })
  const bytes = Buffer.concat([upload.bytes, mediaBytes(100)])
  return { upload, answer: await append(peer, { ...upload, bytes }, { from: 1000, isChunked }) }
}

export const lengthRows: readonly Declared[] = rowsOf({ protocol: 'ietf' }, [
  {
    id: 'ietf-length-in-creation',
    asks: { 6: V6.lengthRecorded, 8: V8.lengthRecorded },
    requirement: 'The Upload-Length of a creation is recorded.',
    async check(peer) {
      const { url } = await expectCreated(peer, { length: SIZE, body: mediaBytes(1000) })
      expectInteger(await head(peer, url), 'Upload-Length', SIZE)
    },
  },
  {
    id: 'ietf-length-in-append',
    asks: { 8: V8.appendLengthRecorded },
    requirement: 'The Upload-Length of an append is recorded.',
    after: ['ietf-append-part'],
    async check(peer) {
      const upload = await create(peer)
      const headers = { 'Upload-Length': String(SIZE) }
      expectSuccess(await append(peer, upload, { from: 0, to: 1000, headers }))
      expectInteger(await head(peer, upload.url), 'Upload-Length', SIZE)
    },
  },
  {
    id: 'ietf-length-ignored',
    asks: { 8: V8.lengthIgnored },
    requirement: 'An Upload-Length that is no whole number is ignored.',
    async check(peer) {
      for (const length of ['"6000"', '-6000', '6000.0', '?1', 'many', '']) {
        const { url } = await expectCreated(peer, { headers: { 'Upload-Length': length } })
        expectNoHeader(await head(peer, url), 'Upload-Length')
      }
    },
  },
  {
    id: 'ietf-length-parameters',
    asks: { 8: V8.itemParameters },
    requirement: 'Parameters of Upload-Length that nobody knows do not change its value.',
    async check(peer) {
      const { url } = await expectCreated(peer, { headers: { 'Upload-Length': `${SIZE};about=?0` } })
      expectInteger(await head(peer, url), 'Upload-Length', SIZE)
    },
  },
  {
    id: 'ietf-length-inconsistent',
    asks: { 6: V6.lengthInconsistent, 8: V8.lengthsMatch },
    requirement:
      'A creation that brings everything is refused when Upload-Length and Content-Length differ; 6: by 400.',
    async check(peer) {
      await expectCreatable(peer)
      for (const length of [SIZE - 1, SIZE + 1]) {
        expectRefused(peer, await creation(peer, { isComplete: true, length, body: mediaBytes(SIZE) }))
      }
    },
  },
  {
    id: 'ietf-length-inconsistent-later',
    asks: { 8: V8.lengthsMatch },
    requirement: 'An append whose Upload-Length is another than the one recorded is refused.',
    async check(peer) {
      const upload = await create(peer, { length: SIZE })
      const headers = { 'Upload-Length': String(SIZE + 1) }
      expectRefusal(await append(peer, upload, { from: 0, to: 1000, headers }))
    },
  },
  {
    id: 'ietf-length-inconsistent-end',
    // The length that is recorded comes from Upload-Length here, which draft-04 does not have.
    asks: { 6: ofSomeDrafts(V6.appendLengthMatches), 8: V8.lengthsMatch },
    requirement: 'An append that claims to be the end before the recorded length is refused; 6: by 400.',
    async check(peer) {
      const upload = await create(peer, { length: SIZE })
      expectRefused(peer, await append(peer, upload, { from: 0, to: 1000, isComplete: true }))
      const after = await head(peer, upload.url)
      if (isSuccess(after)) expectComplete(after, false)
    },
  },
  {
    id: 'ietf-length-repeated',
    asks: { 8: V8.lengthTwice },
    requirement: 'An append may repeat the length that is recorded.',
    async check(peer) {
      const upload = await createFilled(peer, 1000, { length: SIZE })
      const headers = { 'Upload-Length': String(SIZE) }
      expectCompleted(await append(peer, upload, { from: 1000, isComplete: true, headers }))
    },
  },
  {
    id: 'ietf-length-exceeded',
    asks: { 6: V6.appendBeyond, 8: V8.appendBeyond },
    requirement: 'An append beyond the length never makes the offset exceed it, in chunks or not.',
    after: ['ietf-append-part'],
    async check(peer) {
      for (const isChunked of [false, true]) {
        const { upload } = await exceed(peer, isChunked)
        const after = await head(peer, upload.url)
        if (!isSuccess(after)) continue
        const offset = integerIn(after, 'Upload-Offset')
        expectThat(offset <= SIZE, `an upload of ${SIZE} bytes stands at ${offset}`)
      }
    },
  },
  {
    id: 'ietf-length-exceeded-refused',
    asks: { 6: V6.appendBeyondStatus, 8: V8.appendBeyond },
    requirement: 'An append beyond the length is refused, in chunks or not; 6: by 400.',
    after: ['ietf-length-exceeded'],
    async check(peer) {
      for (const isChunked of [false, true]) expectRefused(peer, (await exceed(peer, isChunked)).answer)
    },
  },
  {
    id: 'ietf-length-exceeded-kept',
    asks: { 6: V6.appendBeyondStatus },
    requirement: 'Of an append in chunks that goes beyond the length, what belongs to the upload is kept.',
    after: ['ietf-length-exceeded-refused', 'ietf-length-of-coded-message'],
    async check(peer) {
      const { upload } = await exceed(peer, true)
      await expectOffset(peer, upload.url, SIZE)
    },
  },
  {
    id: 'ietf-length-exceeded-invalid',
    asks: { 8: V8.appendBeyond },
    requirement: 'An append beyond the length makes the upload resource invalid for all requests.',
    after: ['ietf-length-exceeded-refused'],
    async check(peer) {
      for (const isChunked of [false, true]) {
        const { upload } = await exceed(peer, isChunked)
        expectRefusal(await head(peer, upload.url))
        expectRefusal(await append(peer, upload, { from: 1000, isComplete: true }))
      }
    },
  },
  {
    id: 'ietf-length-of-coded-message',
    asks: { 6: V6.transferCoding, 8: V8.transferCoding },
    requirement: 'The offset counts the bytes of a body that comes in chunks without what frames them.',
    after: ['ietf-append-part'],
    async check(peer) {
      const upload = await create(peer)
      const answer = await append(peer, upload, { from: 0, to: 1000, isChunked: true })
      if (answer.status === 411) skip('the server insists on a Content-Length: 411')
      expectSuccess(answer)
      await expectOffset(peer, upload.url, 1000)
    },
  },
])
