import {
  expectNoHeader,
  expectRefusal,
  expectStatus,
  expectSuccess,
  expectThat,
  isSuccess,
} from '../kit/expectations.ts'
import { mediaBytes, type Peer } from '../kit/peer.ts'
import { type Row, rowsOf } from '../kit/row.ts'
import {
  append,
  create,
  createFilled,
  creation,
  expectComplete,
  expectCompleted,
  expectCreatable,
  expectInteger,
  expectOpenAt,
  head,
  integerIn,
  SIZE,
} from './client.ts'

export const lengthRows: readonly Row[] = rowsOf({ protocol: 'ietf', section: '4.1.3 Length' }, [
  {
    id: 'ietf-length-in-creation',
    level: 'MUST',
    requirement: 'The Upload-Length of a creation is recorded.',
    async check(peer) {
      const { url } = await create(peer, { length: SIZE, body: mediaBytes(1000) })
      expectInteger(await head(peer, url), 'Upload-Length', SIZE)
    },
  },
  {
    id: 'ietf-length-in-append',
    level: 'MUST',
    requirement: 'The Upload-Length of an append is recorded.',
    interop: [8],
    async check(peer) {
      const upload = await create(peer)
      const headers = { 'Upload-Length': String(SIZE) }
      expectSuccess(await append(peer, upload, { from: 0, to: 1000, headers }))
      expectInteger(await head(peer, upload.url), 'Upload-Length', SIZE)
    },
  },
  {
    id: 'ietf-length-ignored',
    level: 'MUST',
    requirement: 'An Upload-Length that is no whole number is ignored.',
    async check(peer) {
      for (const length of ['"6000"', '-6000', '6000.0', '?1', 'many', '']) {
        const { url } = await create(peer, { headers: { 'Upload-Length': length } })
        expectNoHeader(await head(peer, url), 'Upload-Length')
      }
    },
  },
  {
    id: 'ietf-length-parameters',
    level: 'MUST',
    requirement: 'Upload-Length is an Item, whose parameters do not change its value.',
    async check(peer) {
      const { url } = await create(peer, { headers: { 'Upload-Length': `${SIZE};about=?0` } })
      expectInteger(await head(peer, url), 'Upload-Length', SIZE)
    },
  },
  {
    id: 'ietf-length-inconsistent-in-creation',
    level: 'MUST',
    requirement: 'A creation that brings everything is refused when Upload-Length and Content-Length differ.',
    async check(peer) {
      await expectCreatable(peer)
      for (const length of [SIZE - 1, SIZE + 1]) {
        expectRefusal(await creation(peer, { isComplete: true, length, body: mediaBytes(SIZE) }))
      }
    },
  },
  {
    id: 'ietf-length-inconsistent-status-6',
    level: 'MUST',
    requirement: 'A creation of inconsistent lengths gets 400.',
    interop: [6],
    async check(peer) {
      await expectCreatable(peer)
      expectStatus(await creation(peer, { isComplete: true, length: SIZE + 1, body: mediaBytes(SIZE) }), 400)
    },
  },
  {
    id: 'ietf-length-inconsistent-later',
    level: 'MUST',
    requirement: 'An append whose Upload-Length is another than the one recorded is refused.',
    interop: [8],
    async check(peer) {
      const upload = await create(peer, { length: SIZE })
      const headers = { 'Upload-Length': String(SIZE + 1) }
      expectRefusal(await append(peer, upload, { from: 0, to: 1000, headers }))
    },
  },
  {
    id: 'ietf-length-inconsistent-end',
    level: 'MUST',
    requirement:
      'An append that claims to be the end before the recorded length is refused and completes nothing.',
    async check(peer) {
      const upload = await create(peer, { length: SIZE })
      const answer = await append(peer, upload, { from: 0, to: 1000, isComplete: true })
      expectRefusal(answer)
      const after = await head(peer, upload.url)
      if (isSuccess(after)) expectComplete(after, false)
    },
  },
  {
    id: 'ietf-length-inconsistent-end-6',
    level: 'MUST',
    requirement: 'An append that claims to be the end before the recorded length gets 400.',
    interop: [6],
    async check(peer) {
      const upload = await create(peer, { length: SIZE })
      expectStatus(await append(peer, upload, { from: 0, to: 1000, isComplete: true }), 400)
    },
  },
  {
    id: 'ietf-length-repeated',
    level: 'MUST',
    requirement: 'An append may repeat the length that is recorded.',
    async check(peer) {
      const upload = await createFilled(peer, 1000, { length: SIZE })
      const headers = { 'Upload-Length': String(SIZE) }
      expectCompleted(await append(peer, upload, { from: 1000, isComplete: true, headers }))
    },
  },
  ...[false, true].flatMap((isChunked) => {
    const id = isChunked ? 'chunked' : 'declared'
    const how = isChunked ? 'in chunks' : 'with a Content-Length'
    /** An append of more than the length of its upload. */
    const exceed = async (peer: Peer) => {
      const upload = await createFilled(peer, 1000, { length: SIZE })
      const bytes = Buffer.concat([upload.bytes, mediaBytes(100)])
      return { upload, answer: await append(peer, { ...upload, bytes }, { from: 1000, isChunked }) }
    }
    return [
      {
        id: `ietf-length-exceeded-${id}`,
        level: 'MUST' as const,
        requirement: `An append beyond the length (${how}) is refused, and the offset never exceeds the length.`,
        check: async (peer: Peer) => {
          const { upload, answer } = await exceed(peer)
          expectRefusal(answer)
          const after = await head(peer, upload.url)
          if (!isSuccess(after)) return
          const offset = integerIn(after, 'Upload-Offset')
          expectThat(offset <= SIZE, `an upload of ${SIZE} bytes stands at ${offset}`)
          expectComplete(after, false)
        },
      },
      {
        id: `ietf-length-exceeded-${id}-invalid`,
        level: 'MUST' as const,
        requirement: `An append beyond the length (${how}) makes the upload resource invalid for all requests.`,
        interop: [8] as const,
        check: async (peer: Peer) => {
          const { upload } = await exceed(peer)
          expectRefusal(await head(peer, upload.url))
          expectRefusal(await append(peer, upload, { from: 1000, isComplete: true }))
        },
      },
      {
        id: `ietf-length-exceeded-${id}-6`,
        level: 'MUST' as const,
        requirement: `An append beyond the length (${how}) gets 400.`,
        interop: [6] as const,
        check: async (peer: Peer) => expectStatus((await exceed(peer)).answer, 400),
      },
    ]
  }),
  {
    id: 'ietf-length-of-coded-message',
    level: 'MUST',
    requirement: 'The offset counts the bytes of a body that comes in chunks without what frames them.',
    async check(peer) {
      const upload = await create(peer)
      expectSuccess(await append(peer, upload, { from: 0, to: 1000, isChunked: true }))
      await expectOpenAt(peer, upload.url, 1000)
    },
  },
])
