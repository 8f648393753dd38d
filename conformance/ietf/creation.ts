import {
  expectHeader,
  expectNoHeader,
  expectStatus,
  expectSuccess,
  expectThat,
  headerOf,
  isRefusal,
  isSuccess,
  skip,
} from '../kit/expectations.ts'
import { mediaBytes } from '../kit/peer.ts'
import { type Declared, rowsOf } from '../kit/row.ts'
import {
  append,
  create,
  creation,
  expectComplete,
  expectCompleted,
  expectCreatable,
  expectCreated,
  expectInteger,
  expectOffset,
  head,
  limitsIn,
  SIZE,
} from './client.ts'
import { V6 } from './text-6.ts'
import { V8 } from './text-8.ts'

export const creationRows: readonly Declared[] = rowsOf({ protocol: 'ietf' }, [
  {
    id: 'ietf-creation-empty',
    asks: { 6: V6.emptyCreation, 8: V8.emptyCreation },
    requirement: 'A creation without bytes that is not complete leads to its upload resource with Location.',
    check: async (peer) => expectSuccess(await head(peer, (await expectCreated(peer)).url)),
  },
  {
    id: 'ietf-creation-part',
    asks: { 6: V6.location, 8: V8.location },
    requirement:
      'A creation with the first bytes leads to its upload resource with Location, which has them.',
    after: ['ietf-creation-empty'],
    async check(peer) {
      const { url } = await expectCreated(peer, { body: mediaBytes(1000) })
      await expectOffset(peer, url, 1000)
    },
  },
  {
    id: 'ietf-creation-status',
    asks: { 6: V6.creationPart, 8: V8.creationStatus },
    requirement: 'A creation that is not complete succeeds with 201.',
    check: async (peer) => expectStatus((await create(peer, { body: mediaBytes(1000) })).created, 201),
  },
  {
    id: 'ietf-creation-flag',
    asks: { 6: V6.creationPart, 8: V8.creationFlag },
    requirement: 'The answer to a creation that is not complete says Upload-Complete: ?0.',
    check: async (peer) => expectComplete((await create(peer, { body: mediaBytes(1000) })).created, false),
  },
  {
    id: 'ietf-creation-whole-flag',
    asks: { 8: V8.creationFlag },
    requirement: 'The answer to a creation that brings everything says Upload-Complete: ?1.',
    after: ['ietf-creation-flag'],
    check: async (peer) =>
      expectComplete(await creation(peer, { isComplete: true, body: mediaBytes(SIZE) }), true),
  },
  {
    id: 'ietf-creation-offset',
    asks: { 6: V6.creationOffset },
    requirement: 'The answer to a creation tells in Upload-Offset where the upload stands.',
    async check(peer) {
      expectInteger((await create(peer)).created, 'Upload-Offset', 0)
      expectInteger((await create(peer, { body: mediaBytes(1000) })).created, 'Upload-Offset', 1000)
    },
  },
  {
    id: 'ietf-creation-limits',
    asks: { 8: V8.location },
    requirement:
      'The answer to a creation that is not complete has the limits in Upload-Limit, if there are any.',
    needs: ['limits'],
    check: async (peer) => void limitsIn((await create(peer)).created),
  },
  {
    id: 'ietf-creation-whole',
    asks: { 6: V6.creationWhole, 8: V8.creationWhole },
    requirement: 'A creation that brings everything completes the upload and succeeds.',
    check: async (peer) =>
      expectCompleted(await creation(peer, { isComplete: true, body: mediaBytes(SIZE) })),
  },
  {
    id: 'ietf-creation-whole-chunked',
    asks: { 6: V6.chunked, 8: V8.chunked },
    requirement: 'A creation that brings everything may do so in chunks, without a Content-Length.',
    after: ['ietf-creation-whole'],
    check: async (peer) =>
      expectCompleted(await creation(peer, { isComplete: true, body: mediaBytes(SIZE), isChunked: true })),
  },
  {
    id: 'ietf-creation-whole-status',
    asks: { 6: V6.creationWholeStatus },
    requirement: 'A creation that brings everything succeeds with 201.',
    after: ['ietf-creation-whole', 'ietf-creation-status'],
    check: async (peer) =>
      expectStatus(await creation(peer, { isComplete: true, body: mediaBytes(SIZE) }), 201),
  },
  {
    id: 'ietf-creation-whole-with-length',
    asks: { 6: V6.lengthTwice, 8: V8.lengthTwice },
    requirement: 'Upload-Length may repeat what Content-Length says of a creation that brings everything.',
    after: ['ietf-creation-whole'],
    check: async (peer) =>
      expectCompleted(await creation(peer, { isComplete: true, length: SIZE, body: mediaBytes(SIZE) })),
  },
  {
    id: 'ietf-creation-nothing',
    asks: { 6: V6.emptyFile, 8: V8.emptyFile },
    requirement: 'An empty file may be complete with its creation.',
    async check(peer) {
      const answer = await creation(peer, { isComplete: true })
      if (isRefusal(answer)) skip(`the server takes no empty files: ${answer.status}`)
      expectCompleted(answer)
    },
  },
  {
    id: 'ietf-creation-new-each-time',
    asks: { 8: V8.unique },
    requirement: 'Each creation makes an upload resource of its own.',
    async check(peer) {
      const [one, other] = [await create(peer), await create(peer)]
      expectThat(one.url.href !== other.url.href, `two creations have the same Location ${one.url}`)
    },
  },
  {
    id: 'ietf-creation-other-token',
    asks: { 6: V6.authorized, 8: V8.authorized },
    requirement: 'Without credentials nobody learns of an upload resource or appends to it.',
    needs: ['token'],
    async check(peer) {
      const upload = await create(peer)
      const headers = { Authorization: undefined }
      const refused = [401, 403, 404]
      expectStatus(await head(peer, upload.url, headers), ...refused)
      expectStatus(await append(peer, upload, { from: 0, headers }), ...refused)
      await expectOffset(peer, upload.url, 0)
    },
  },
  {
    id: 'ietf-creation-flag-ignored',
    asks: { 8: V8.flagIgnored },
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
    asks: { 8: V8.itemParameters },
    requirement: 'Parameters of Upload-Complete that nobody knows do not change its value.',
    async check(peer) {
      const { url } = await expectCreated(peer, {
        headers: { 'Upload-Complete': '?0;later=1' },
        body: mediaBytes(1000),
      })
      await expectOffset(peer, url, 1000)
    },
  },
  {
    id: 'ietf-creation-too-large',
    asks: { 8: V8.tooLarge },
    requirement: 'A 413 to a creation of more than the largest size tells the limits in Upload-Limit.',
    needs: ['max-size'],
    async check(peer) {
      const answer = await creation(peer, { length: (peer.capabilities.maxSize ?? 0) + 1 })
      if (answer.status !== 413) skip(`a creation beyond the largest size gets ${answer.status}`)
      expectThat(limitsIn(answer).has('max-size'), 'the limits of the 413 lack max-size')
    },
  },
  {
    id: 'ietf-creation-location-is-url',
    asks: { 6: V6.location, 8: V8.location },
    requirement: 'Location is the URI of the upload resource, absolute or relative to the request.',
    after: ['ietf-creation-empty'],
    async check(peer) {
      const { created } = await create(peer)
      expectHeader(created, 'Location', /^\S+$/)
      expectThat(URL.canParse(headerOf(created, 'Location'), peer.target.endpoint), 'Location is no URI')
    },
  },
])
