import { createHash } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import type { Answer } from '../kit/answer.ts'
import {
  describeAnswer,
  expectRefusal,
  expectSuccess,
  expectThat,
  headerOf,
  isRefusal,
  isSuccess,
  skip,
} from '../kit/expectations.ts'
import { mediaBytes, type Peer } from '../kit/peer.ts'
import { type Declared, rowsOf } from '../kit/row.ts'
import { dictionaryOf } from '../kit/structured.ts'
import {
  append,
  create,
  createFilled,
  creation,
  expectCompleted,
  expectCreatable,
  expectOffset,
  SIZE,
} from './client.ts'
import { V6 } from './text-6.ts'
import { V8 } from './text-8.ts'
import { HTTP } from './text-http.ts'

const ALGORITHMS = [
  ['sha-256', 'sha256'],
  ['sha-512', 'sha512'],
] as const

/** A digest field (RFC 9530) of these bytes. */
function digestOf(bytes: Uint8Array, name = 'sha-256', algorithm = 'sha256'): string {
  return `${name}=:${createHash(algorithm).update(bytes).digest('base64')}:`
}

const WRONG = digestOf(Buffer.from('other bytes'))

function expectFailed(answer: Answer): void {
  expectThat(!isSuccess(answer), `expected a failure, got ${describeAnswer(answer)}`)
}

function expectReprDigest(answer: Answer, bytes: Uint8Array): void {
  expectSuccess(answer)
  const digest = dictionaryOf(headerOf(answer, 'Repr-Digest'))?.get('sha-256')
  expectThat(`sha-256=${digest}` === digestOf(bytes), `the sha-256 in Repr-Digest is ${digest}`)
}

export const contentDigestRows: readonly Declared[] = rowsOf(
  { protocol: 'ietf', after: ['ietf-append-part'] },
  [
    ...ALGORITHMS.flatMap(([name, algorithm]) => [
      {
        id: `ietf-content-digest-${name}-right`,
        asks: { 6: V6.contentDigest, 8: V8.contentDigest },
        requirement: `An append with the right ${name} Content-Digest succeeds.`,
        check: async (peer: Peer) => {
          const upload = await create(peer)
          const headers = { 'Content-Digest': digestOf(upload.bytes, name, algorithm) }
          expectCompleted(await append(peer, upload, { from: 0, isComplete: true, headers }))
        },
      },
      {
        id: `ietf-content-digest-${name}-wrong`,
        asks: { 6: V6.contentDigest, 8: V8.contentDigest },
        requirement: `An append with a wrong ${name} Content-Digest fails and appends nothing.`,
        after: name === 'sha-256' ? [] : ['ietf-content-digest-sha-256-wrong'],
        check: async (peer: Peer) => {
          const upload = await createFilled(peer, 1000)
          const headers = { 'Content-Digest': digestOf(Buffer.from('other bytes'), name, algorithm) }
          expectRefusal(await append(peer, upload, { from: 1000, isComplete: true, headers }))
          await expectOffset(peer, upload.url, 1000)
        },
      },
    ]),
    {
      id: 'ietf-content-digest-retried',
      asks: { 6: V6.contentDigest, 8: V8.contentDigest },
      requirement: 'After a wrong Content-Digest the same bytes can be sent again, with the right one.',
      after: ['ietf-content-digest-sha-256-wrong'],
      async check(peer) {
        const upload = await create(peer)
        expectRefusal(await append(peer, upload, { from: 0, to: 1000, headers: { 'Content-Digest': WRONG } }))
        const headers = { 'Content-Digest': digestOf(upload.bytes) }
        expectCompleted(await append(peer, upload, { from: 0, isComplete: true, headers }))
      },
    },
    {
      id: 'ietf-content-digest-creation',
      asks: { 6: V6.contentDigest, 8: V8.contentDigest },
      requirement: 'A creation whose bytes do not have its Content-Digest fails or keeps none of them.',
      after: ['ietf-content-digest-sha-256-wrong'],
      async check(peer) {
        await expectCreatable(peer)
        const answer = await creation(peer, { body: mediaBytes(1000), headers: { 'Content-Digest': WRONG } })
        if (isRefusal(answer)) return
        expectSuccess(answer)
        await expectOffset(peer, peer.locate(headerOf(answer, 'Location')), 0)
      },
    },
    {
      id: 'ietf-content-digest-creation-whole',
      asks: { 6: V6.contentDigest, 8: V8.contentDigest },
      requirement: 'A creation that brings everything fails when its bytes do not have its Content-Digest.',
      after: ['ietf-content-digest-sha-256-wrong'],
      async check(peer) {
        await expectCreatable(peer)
        expectFailed(
          await creation(peer, {
            isComplete: true,
            body: mediaBytes(SIZE),
            headers: { 'Content-Digest': WRONG },
          }),
        )
      },
    },
    {
      id: 'ietf-content-digest-unknown',
      asks: HTTP.digestIgnored,
      requirement: 'A Content-Digest of an unknown algorithm is ignored (RFC 9530).',
      async check(peer) {
        const upload = await create(peer)
        const headers = { 'Content-Digest': 'nonesuch=:YWJj:' }
        expectSuccess(await append(peer, upload, { from: 0, to: 1000, headers }))
      },
    },
    {
      id: 'ietf-content-digest-lines',
      asks: { 6: V6.contentDigest, 8: V8.contentDigest },
      requirement:
        'A wrong digest counts in a second line of Content-Digest as well: they are one dictionary.',
      after: ['ietf-content-digest-one-of-many'],
      async check(peer) {
        const upload = await create(peer)
        const right = digestOf(upload.bytes.subarray(0, 1000), 'sha-512', 'sha512')
        const headers = { 'Content-Digest': [right, WRONG] }
        expectRefusal(await append(peer, upload, { from: 0, to: 1000, headers }))
        await expectOffset(peer, upload.url, 0)
      },
    },
    {
      id: 'ietf-content-digest-one-of-many',
      asks: { 6: V6.contentDigest, 8: V8.contentDigest },
      requirement: 'Of several digests the wrong one counts, wherever it stands in the list.',
      after: ['ietf-content-digest-sha-256-wrong'],
      async check(peer) {
        const upload = await create(peer)
        const right = digestOf(upload.bytes.subarray(0, 1000), 'sha-512', 'sha512')
        const headers = { 'Content-Digest': `nonesuch=:YWJj:, ${right}, ${WRONG}` }
        expectRefusal(await append(peer, upload, { from: 0, to: 1000, headers }))
        await expectOffset(peer, upload.url, 0)
      },
    },
  ],
)

export const reprDigestRows: readonly Declared[] = rowsOf({ protocol: 'ietf' }, [
  {
    id: 'ietf-repr-digest-right',
    asks: { 6: V6.reprDigest, 8: V8.reprDigest },
    requirement: 'An upload that has the Repr-Digest of its creation succeeds.',
    async check(peer) {
      const body = mediaBytes(SIZE)
      const headers = { 'Repr-Digest': digestOf(body) }
      expectCompleted(await creation(peer, { isComplete: true, body, headers }))
    },
  },
  {
    id: 'ietf-repr-digest-right-appended',
    asks: { 6: V6.reprDigest, 8: V8.reprDigest },
    requirement: 'The Repr-Digest of a creation is that of the whole file, whatever brings it.',
    async check(peer) {
      const bytes = mediaBytes(SIZE)
      const headers = { 'Repr-Digest': digestOf(bytes) }
      const upload = await create(peer, { bytes, body: bytes.subarray(0, 1000), headers })
      expectCompleted(await append(peer, upload, { from: 1000, isComplete: true }))
    },
  },
  {
    id: 'ietf-repr-digest-wrong',
    asks: { 6: V6.reprDigest, 8: V8.reprDigest },
    requirement: 'A creation that brings everything fails when the bytes do not have its Repr-Digest.',
    async check(peer) {
      await expectCreatable(peer)
      expectFailed(
        await creation(peer, {
          isComplete: true,
          body: mediaBytes(SIZE),
          headers: { 'Repr-Digest': WRONG },
        }),
      )
    },
  },
  {
    id: 'ietf-repr-digest-wrong-appended',
    asks: { 6: V6.reprDigest, 8: V8.reprDigest },
    requirement: 'The append that completes an upload fails when the upload does not have its Repr-Digest.',
    after: ['ietf-repr-digest-wrong'],
    async check(peer) {
      const upload = await create(peer, { headers: { 'Repr-Digest': WRONG } })
      expectSuccess(await append(peer, upload, { from: 0, to: 1000 }))
      expectFailed(await append(peer, upload, { from: 1000, isComplete: true }))
    },
  },
  {
    id: 'ietf-repr-digest-wanted-at-once',
    asks: { 6: V6.reprDigestWanted, 8: V8.reprDigestWanted },
    requirement: 'The answer to a creation that brings everything has the Repr-Digest that it wanted.',
    async check(peer) {
      const body = mediaBytes(SIZE)
      const headers = { 'Want-Repr-Digest': 'sha-256=10' }
      expectReprDigest(await creation(peer, { isComplete: true, body, headers }), body)
    },
  },
  {
    id: 'ietf-repr-digest-wanted',
    asks: { 6: V6.reprDigestWanted, 8: V8.reprDigestWanted },
    requirement: 'The answer that completes an upload has the Repr-Digest that the creation wanted.',
    after: ['ietf-repr-digest-wanted-at-once'],
    async check(peer) {
      const bytes = mediaBytes(SIZE)
      const upload = await create(peer, { bytes, headers: { 'Want-Repr-Digest': 'sha-256=10' } })
      const answer = await append(peer, upload, { from: 0, isComplete: true })
      expectReprDigest(answer, bytes)
    },
  },
])

export const contentCodingRows: readonly Declared[] = rowsOf({ protocol: 'ietf' }, [
  {
    id: 'ietf-coding-offset',
    asks: { 6: V6.contentCoding, 8: V8.contentCoding },
    requirement: 'Offset and length of a file with a Content-Encoding count its coded bytes.',
    async check(peer) {
      const body = gzipSync(mediaBytes(SIZE))
      const headers = { 'Content-Encoding': 'gzip' }
      const answer = await creation(peer, { length: body.byteLength, body, headers })
      if (isRefusal(answer)) skip(`the server takes no gzip: ${answer.status}`)
      expectSuccess(answer)
      const upload = { url: peer.locate(headerOf(answer, 'Location')), bytes: body, created: answer }
      await expectOffset(peer, upload.url, body.byteLength)
    },
  },
])
