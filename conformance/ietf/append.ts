import { expectFailure, expectStatus, expectSuccess, expectThat, isSuccess } from '../kit/expectations.ts'
import { type Declared, rowsOf } from '../kit/row.ts'
import {
  append,
  create,
  createComplete,
  createFilled,
  expectComplete,
  expectCompleted,
  expectInteger,
  expectOffset,
  head,
  SIZE,
} from './client.ts'
import { V6 } from './text-6.ts'
import { V8 } from './text-8.ts'

const partRows: readonly Declared[] = rowsOf({ protocol: 'ietf', after: ['ietf-head-offset'] }, [
  {
    id: 'ietf-append-part',
    asks: { 6: V6.headOffset, 8: V8.appendPart },
    requirement: 'An append that does not complete the upload succeeds, and its bytes are there.',
    async check(peer) {
      const upload = await create(peer)
      expectSuccess(await append(peer, upload, { from: 0, to: 1000 }))
      await expectOffset(peer, upload.url, 1000)
    },
  },
])

const otherRows: readonly Declared[] = rowsOf({ protocol: 'ietf', after: ['ietf-append-part'] }, [
  {
    id: 'ietf-append-part-flag',
    // Draft-05 asks for Upload-Complete: ?1 here, which its authors cannot have meant.
    asks: { 8: V8.appendFlag },
    requirement: 'The answer to an append that does not complete the upload says Upload-Complete: ?0.',
    check: async (peer) => expectComplete((await createFilled(peer, 1000)).appended, false),
  },
  {
    id: 'ietf-append-status',
    asks: { 6: V6.appendStatus },
    requirement: 'An append that does not complete the upload gets 201.',
    check: async (peer) => expectStatus((await createFilled(peer, 1000)).appended, 201),
  },
  {
    id: 'ietf-append-offset',
    asks: { 6: V6.appendOffset },
    requirement: 'The answer to an append tells the new Upload-Offset.',
    check: async (peer) => expectInteger((await createFilled(peer, 1000)).appended, 'Upload-Offset', 1000),
  },
  {
    id: 'ietf-append-many',
    asks: { 6: V6.noMinimum, 8: V8.noMinimum },
    requirement: 'An upload may come in many small appends, one byte being enough for one.',
    needs: ['small appends'],
    after: ['ietf-append-part'],
    async check(peer) {
      const upload = await create(peer)
      let from = 0
      for (const to of [1, 2, 40, 41, 1000, 4096, SIZE - 1]) {
        expectSuccess(await append(peer, upload, { from, to }))
        from = to
      }
      await expectOffset(peer, upload.url, SIZE - 1)
      expectCompleted(await append(peer, upload, { from, isComplete: true }))
    },
  },
  {
    id: 'ietf-append-end',
    asks: { 6: V6.appendEnd, 8: V8.appendEnd },
    requirement: 'The append that brings the end succeeds and is not said to be incomplete; 8: it says ?1.',
    async check(peer) {
      const upload = await createFilled(peer, SIZE / 2)
      const completed = await append(peer, upload, { from: SIZE / 2, isComplete: true })
      expectSuccess(completed)
      if (peer.interop === 8 || completed.headers.get('Upload-Complete') !== undefined) {
        expectComplete(completed, true)
      }
    },
  },
  {
    id: 'ietf-append-end-status',
    asks: { 6: V6.appendEndStatus },
    requirement: 'The append that brings the end succeeds with 201.',
    after: ['ietf-append-status'],
    check: async (peer) => expectStatus((await createComplete(peer)).completed, 201),
  },
  {
    id: 'ietf-append-end-without-bytes',
    asks: { 6: V6.appendEndEmpty, 8: V8.appendEndEmpty },
    requirement: 'An append without bytes may complete an upload that has them all.',
    async check(peer) {
      const upload = await createFilled(peer, SIZE)
      expectCompleted(await append(peer, upload, { from: SIZE, isComplete: true }))
    },
  },
  {
    id: 'ietf-append-nothing',
    asks: { 6: V6.noMinimum, 8: V8.noMinimum },
    requirement: 'An append without bytes that completes nothing succeeds and changes nothing.',
    needs: ['small appends'],
    async check(peer) {
      const upload = await createFilled(peer, 1000)
      expectSuccess(await append(peer, upload, { from: 1000, to: 1000 }))
      await expectOffset(peer, upload.url, 1000)
    },
  },
  {
    id: 'ietf-append-full-is-not-complete',
    asks: { 6: V6.fullIsNotComplete, 8: V8.fullIsNotComplete },
    requirement: 'An upload whose offset is its length is not complete until the client says so.',
    after: ['ietf-head-incomplete'],
    async check(peer) {
      const upload = await createFilled(peer, SIZE, { length: SIZE })
      expectComplete(await head(peer, upload.url), false)
    },
  },
  {
    id: 'ietf-append-offset-parameters',
    asks: { 8: V8.itemParameters },
    requirement:
      'Parameters of Upload-Offset and Upload-Complete that nobody knows do not change their values.',
    async check(peer) {
      const upload = await createFilled(peer, 1000)
      const headers = { 'Upload-Offset': '1000;later=?1', 'Upload-Complete': '?0;later' }
      expectSuccess(await append(peer, upload, { from: 1000, to: 2000, headers }))
      await expectOffset(peer, upload.url, 2000)
    },
  },
  {
    id: 'ietf-append-to-complete',
    asks: { 6: V6.appendToComplete, 8: V8.appendBeyond },
    requirement: 'Nothing can be appended to a complete upload; 6: it gets 400.',
    async check(peer) {
      const upload = await createComplete(peer)
      const bytes = Buffer.concat([upload.bytes, Buffer.alloc(100)])
      const answer = await append(peer, { ...upload, bytes }, { from: SIZE, isComplete: true })
      if (peer.interop === 6) expectStatus(answer, 400)
      else expectFailure(answer)
      const after = await head(peer, upload.url)
      if (isSuccess(after)) expectInteger(after, 'Upload-Offset', SIZE)
    },
  },
  {
    id: 'ietf-append-replay',
    asks: { 8: V8.appendReplay },
    requirement: 'The final answer is given again to clients that repeat the end of an upload without bytes.',
    async check(peer) {
      const upload = await createComplete(peer)
      const answer = await append(peer, upload, { from: SIZE, isComplete: true })
      expectStatus(answer, upload.completed.status)
      expectComplete(answer, true)
    },
  },
  {
    id: 'ietf-append-content-encoding',
    asks: { 6: V6.appendCoding, 8: V8.appendCoding },
    requirement: 'An append with a Content-Encoding that the creation did not have is refused.',
    async check(peer) {
      const upload = await create(peer)
      const headers = { 'Content-Encoding': 'gzip' }
      expectFailure(await append(peer, upload, { from: 0, to: 1000, headers }))
      await expectOffset(peer, upload.url, 0)
    },
  },
  {
    id: 'ietf-no-empty-field',
    asks: { 6: V6.limitsNotEmpty, 8: V8.limitsNotEmpty },
    requirement: 'No answer has an Upload-Limit without a value.',
    async check(peer) {
      const { created, appended, url } = await createFilled(peer, 1000)
      const options = await peer.send({ method: 'OPTIONS' })
      for (const answer of [created, appended, await head(peer, url), options]) {
        const empty = answer.headers.empty.filter((name) => /^upload-limit$/i.test(name))
        expectThat(empty.length === 0, `${empty.join(', ')} has no value in a ${answer.status}`)
      }
    },
  },
])

export const appendRows: readonly Declared[] = [...partRows, ...otherRows]
