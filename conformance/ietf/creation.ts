import {
  expectHeader,
  expectNoHeader,
  expectRefusal,
  expectStatus,
  expectThat,
  headerOf,
  isRefusal,
  isSuccess,
  skip,
} from '../kit/expectations.ts'
import { mediaBytes } from '../kit/peer.ts'
import { type Row, rowsOf } from '../kit/row.ts'
import {
  append,
  create,
  creation,
  expectComplete,
  expectCompleted,
  expectCreatable,
  expectInteger,
  expectOpenAt,
  head,
  limitsIn,
  SIZE,
} from './client.ts'

export const creationRows: readonly Row[] = rowsOf({ protocol: 'ietf', section: '4.2 Upload Creation' }, [
  {
    id: 'ietf-creation-empty',
    level: 'MUST',
    requirement: 'A creation without bytes that is not complete leads to its upload resource with Location.',
    async check(peer) {
      const { url } = await create(peer)
      expectStatus(await head(peer, url), 200, 204)
    },
  },
  {
    id: 'ietf-creation-part',
    level: 'MUST',
    requirement:
      'A creation with the first bytes leads to its upload resource with Location, which has them.',
    async check(peer) {
      const { url } = await create(peer, { body: mediaBytes(1000) })
      await expectOpenAt(peer, url, 1000)
    },
  },
  {
    id: 'ietf-creation-status',
    level: 'SHOULD',
    requirement: 'A creation that is not complete succeeds with 201.',
    interop: [8],
    check: async (peer) => expectStatus((await create(peer, { body: mediaBytes(1000) })).created, 201),
  },
  {
    id: 'ietf-creation-status-6',
    level: 'MUST',
    requirement: 'A creation that is not complete succeeds with 201 and Upload-Complete: ?0.',
    interop: [6],
    async check(peer) {
      const { created } = await create(peer, { body: mediaBytes(1000) })
      expectStatus(created, 201)
      expectComplete(created, false)
    },
  },
  {
    id: 'ietf-creation-offset-6',
    level: 'MUST',
    requirement: 'The answer to a creation tells in Upload-Offset where the upload stands.',
    interop: [6],
    async check(peer) {
      expectInteger((await create(peer)).created, 'Upload-Offset', 0)
      expectInteger((await create(peer, { body: mediaBytes(1000) })).created, 'Upload-Offset', 1000)
    },
  },
  {
    id: 'ietf-creation-complete-flag',
    level: 'SHOULD',
    requirement: 'The answer to a creation says in Upload-Complete whether the upload is complete.',
    interop: [8],
    async check(peer) {
      expectComplete((await create(peer, { body: mediaBytes(1000) })).created, false)
      expectComplete(await creation(peer, { isComplete: true, body: mediaBytes(SIZE) }), true)
    },
  },
  {
    id: 'ietf-creation-limits',
    level: 'MUST',
    requirement:
      'The answer to a creation that is not complete has the limits in Upload-Limit, if there are any.',
    async check(peer) {
      const { created } = await create(peer)
      if ((peer.capabilities.limits?.size ?? 0) > 0) limitsIn(created)
    },
  },
  {
    id: 'ietf-creation-whole',
    level: 'MUST',
    requirement: 'A creation that brings everything completes the upload and succeeds.',
    async check(peer) {
      const answer = await creation(peer, { isComplete: true, body: mediaBytes(SIZE) })
      expectCompleted(answer)
    },
  },
  {
    id: 'ietf-creation-whole-chunked',
    level: 'MUST',
    requirement: 'A creation that brings everything may do so in chunks, without a Content-Length.',
    check: async (peer) =>
      expectCompleted(await creation(peer, { isComplete: true, body: mediaBytes(SIZE), isChunked: true })),
  },
  {
    id: 'ietf-creation-whole-status',
    level: 'SHOULD',
    requirement: 'A creation that brings everything succeeds with 201.',
    interop: [6],
    check: async (peer) =>
      expectStatus(await creation(peer, { isComplete: true, body: mediaBytes(SIZE) }), 201),
  },
  {
    id: 'ietf-creation-whole-with-length',
    level: 'MUST',
    requirement: 'Upload-Length may repeat what Content-Length says of a creation that brings everything.',
    check: async (peer) =>
      expectCompleted(await creation(peer, { isComplete: true, length: SIZE, body: mediaBytes(SIZE) })),
  },
  {
    id: 'ietf-creation-nothing',
    level: 'MUST',
    requirement: 'An empty file may be complete with its creation.',
    async check(peer) {
      const answer = await creation(peer, { isComplete: true })
      if (isRefusal(answer)) skip(`the server takes no empty files: ${answer.status}`)
      expectCompleted(answer)
    },
  },
  {
    id: 'ietf-creation-new-each-time',
    level: 'SHOULD',
    requirement: 'Each creation makes an upload resource of its own.',
    async check(peer) {
      const [one, other] = [await create(peer), await create(peer)]
      expectThat(one.url.href !== other.url.href, `two creations have the same Location ${one.url}`)
    },
  },
  {
    id: 'ietf-creation-other-token',
    level: 'SHOULD',
    requirement: 'Without credentials nobody learns of an upload resource, appends to it or cancels it.',
    needs: ['token'],
    async check(peer) {
      const upload = await create(peer)
      const headers = { Authorization: undefined }
      const refused = [401, 403, 404]
      expectStatus(await head(peer, upload.url, headers), ...refused)
      expectStatus(await append(peer, upload, { from: 0, headers }), ...refused)
      await expectOpenAt(peer, upload.url, 0)
    },
  },
  {
    id: 'ietf-creation-flag-ignored',
    level: 'MUST',
    requirement: 'An Upload-Complete that is no Boolean is ignored: no resumable upload comes of it.',
    async check(peer) {
      await expectCreatable(peer)
      for (const flag of ['1', 'true', '?2', '"?0"', '']) {
        const answer = await creation(peer, { headers: { 'Upload-Complete': flag }, body: mediaBytes(SIZE) })
        expectThat(
          !answer.interim.some(({ status }) => status === 104),
          `Upload-Complete: ${flag} got a 104 (Upload Resumption Supported)`,
        )
        if (isSuccess(answer)) expectNoHeader(answer, 'Upload-Complete')
      }
    },
  },
  {
    id: 'ietf-creation-flag-parameters',
    level: 'MUST',
    requirement: 'Upload-Complete is an Item, whose parameters do not change its value.',
    async check(peer) {
      const { url } = await create(peer, {
        headers: { 'Upload-Complete': '?0;later=1' },
        body: mediaBytes(1000),
      })
      await expectOpenAt(peer, url, 1000)
    },
  },
  {
    id: 'ietf-creation-too-large',
    level: 'SHOULD',
    requirement:
      'A creation of more than the largest size is refused, and a 413 tells the limits in Upload-Limit.',
    needs: ['max-size'],
    async check(peer) {
      await expectCreatable(peer)
      const answer = await creation(peer, { length: (peer.capabilities.maxSize ?? 0) + 1 })
      expectRefusal(answer)
      expectNoHeader(answer, 'Location')
      if (answer.status === 413)
        expectThat(limitsIn(answer).has('max-size'), 'the limits of the 413 lack max-size')
    },
  },
  {
    id: 'ietf-creation-location-is-url',
    level: 'MUST',
    requirement: 'Location is the URI of the upload resource, absolute or relative to the request.',
    async check(peer) {
      const { created } = await create(peer)
      expectHeader(created, 'Location', /^\S+$/)
      expectThat(URL.canParse(headerOf(created, 'Location'), peer.target.endpoint), 'Location is no URI')
    },
  },
])
