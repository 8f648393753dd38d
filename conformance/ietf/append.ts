import { expectRefusal, expectStatus, expectSuccess, isSuccess } from '../kit/expectations.ts'
import { type Row, rowsOf } from '../kit/row.ts'
import {
  append,
  create,
  createComplete,
  createFilled,
  expectComplete,
  expectCompleted,
  expectInteger,
  expectOpenAt,
  head,
  SIZE,
} from './client.ts'

export const appendRows: readonly Row[] = rowsOf({ protocol: 'ietf', section: '4.4 Upload Append' }, [
  {
    id: 'ietf-append-part',
    level: 'MUST',
    requirement: 'An append that does not complete the upload succeeds and says Upload-Complete: ?0.',
    async check(peer) {
      const { appended, url } = await createFilled(peer, 1000)
      expectComplete(appended, false)
      await expectOpenAt(peer, url, 1000)
    },
  },
  {
    id: 'ietf-append-part-6',
    level: 'MUST',
    requirement: 'An append that does not complete the upload gets 201 and tells the new Upload-Offset.',
    interop: [6],
    async check(peer) {
      const { appended } = await createFilled(peer, 1000)
      expectStatus(appended, 201)
      expectInteger(appended, 'Upload-Offset', 1000)
    },
  },
  {
    id: 'ietf-append-many',
    level: 'MUST',
    requirement: 'An upload may come in many small appends, one byte being enough for one.',
    async check(peer) {
      const upload = await create(peer)
      let from = 0
      for (const to of [1, 2, 40, 41, 1000, 4096, SIZE - 1]) {
        expectSuccess(await append(peer, upload, { from, to }))
        from = to
      }
      await expectOpenAt(peer, upload.url, SIZE - 1)
      expectCompleted(await append(peer, upload, { from, isComplete: true }))
    },
  },
  {
    id: 'ietf-append-end',
    level: 'MUST',
    requirement: 'The append that brings the end succeeds and says Upload-Complete: ?1.',
    interop: [8],
    async check(peer) {
      const { completed } = await createComplete(peer)
      expectComplete(completed, true)
    },
  },
  {
    id: 'ietf-append-end-6',
    level: 'MUST',
    requirement: 'The append that brings the end succeeds and does not say Upload-Complete: ?0.',
    interop: [6],
    async check(peer) {
      const { completed } = await createComplete(peer)
      if (completed.headers.get('Upload-Complete') !== undefined) expectComplete(completed, true)
    },
  },
  {
    id: 'ietf-append-end-status',
    level: 'SHOULD',
    requirement: 'The append that brings the end succeeds with 201.',
    interop: [6],
    check: async (peer) => expectStatus((await createComplete(peer)).completed, 201),
  },
  {
    id: 'ietf-append-end-without-bytes',
    level: 'MUST',
    requirement: 'An append without bytes may complete an upload that has them all.',
    async check(peer) {
      const upload = await createFilled(peer, SIZE)
      await expectOpenAt(peer, upload.url, SIZE)
      expectCompleted(await append(peer, upload, { from: SIZE, isComplete: true }))
    },
  },
  {
    id: 'ietf-append-nothing',
    level: 'MUST',
    requirement: 'An append without bytes that completes nothing succeeds and changes nothing.',
    async check(peer) {
      const upload = await createFilled(peer, 1000)
      expectSuccess(await append(peer, upload, { from: 1000, to: 1000 }))
      await expectOpenAt(peer, upload.url, 1000)
    },
  },
  {
    id: 'ietf-append-full-is-not-complete',
    level: 'MUST',
    requirement: 'An upload whose offset is its length is not complete until the client says so.',
    async check(peer) {
      const upload = await createFilled(peer, SIZE, { length: SIZE })
      expectComplete(upload.appended, false)
      await expectOpenAt(peer, upload.url, SIZE)
      expectCompleted(await append(peer, upload, { from: SIZE, isComplete: true }))
    },
  },
  {
    id: 'ietf-append-offset-parameters',
    level: 'MUST',
    requirement: 'Upload-Offset is an Item, whose parameters do not change its value.',
    async check(peer) {
      const upload = await createFilled(peer, 1000)
      const headers = { 'Upload-Offset': '1000;later=?1', 'Upload-Complete': '?0;later' }
      expectSuccess(await append(peer, upload, { from: 1000, to: 2000, headers }))
      await expectOpenAt(peer, upload.url, 2000)
    },
  },
  {
    id: 'ietf-append-to-complete',
    level: 'MUST',
    requirement: 'Nothing can be appended to a complete upload.',
    async check(peer) {
      const upload = await createComplete(peer)
      const bytes = Buffer.concat([upload.bytes, Buffer.alloc(100)])
      expectRefusal(await append(peer, { ...upload, bytes }, { from: SIZE, isComplete: true }))
      expectRefusal(await append(peer, { ...upload, bytes }, { from: SIZE }))
      const answer = await head(peer, upload.url)
      if (isSuccess(answer)) expectInteger(answer, 'Upload-Offset', SIZE)
    },
  },
  {
    id: 'ietf-append-to-complete-6',
    level: 'MUST',
    requirement: 'An append to a complete upload gets 400.',
    interop: [6],
    async check(peer) {
      const upload = await createComplete(peer)
      const bytes = Buffer.concat([upload.bytes, Buffer.alloc(100)])
      expectStatus(await append(peer, { ...upload, bytes }, { from: SIZE, isComplete: true }), 400)
    },
  },
  {
    id: 'ietf-append-replay',
    level: 'MAY',
    requirement: 'The final answer is given again to who repeats the end of an upload without bytes.',
    interop: [8],
    async check(peer) {
      const upload = await createComplete(peer)
      const answer = await append(peer, upload, { from: SIZE, isComplete: true })
      expectStatus(answer, upload.completed.status)
      expectComplete(answer, true)
    },
  },
])
