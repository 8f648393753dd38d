import { expectNoHeader, expectRefusal, expectStatus } from '../kit/expectations.ts'
import type { Peer } from '../kit/peer.ts'
import { type Row, rowsOf } from '../kit/row.ts'
import { append, create, createFilled, expectComplete, expectInteger, expectOpenAt, SIZE } from './client.ts'

const HALF = SIZE / 2

export const appendRefusalRows: readonly Row[] = rowsOf({ protocol: 'ietf', section: '4.4 Upload Append' }, [
  ...(
    [
      ['beyond', [1001, HALF, SIZE]],
      ['behind', [0, 999]],
    ] as const
  ).map(([where, offsets]) => ({
    id: `ietf-append-mismatch-${where}`,
    level: 'MUST' as const,
    requirement: `An append ${where} the current offset gets 409, and changes nothing.`,
    check: async (peer: Peer) => {
      const upload = await createFilled(peer, 1000)
      for (const from of offsets) expectStatus(await append(peer, upload, { from, to: from + 100 }), 409)
      await expectOpenAt(peer, upload.url, 1000)
    },
  })),
  {
    id: 'ietf-append-mismatch-offset',
    level: 'MUST',
    requirement: 'The 409 to an append at another offset tells the right one in Upload-Offset.',
    async check(peer) {
      const upload = await createFilled(peer, 1000)
      expectInteger(await append(peer, upload, { from: 500, to: 1500 }), 'Upload-Offset', 1000)
    },
  },
  {
    id: 'ietf-append-mismatch-incomplete',
    level: 'MUST',
    requirement: 'The 409 to an append at another offset says Upload-Complete: ?0, whatever the append said.',
    interop: [8],
    async check(peer) {
      const upload = await createFilled(peer, 1000)
      for (const isComplete of [false, true]) {
        expectComplete(await append(peer, upload, { from: 500, isComplete }), false)
      }
    },
  },
  ...(
    [
      ['missing', 'without an Upload-Offset', [undefined]],
      ['malformed', 'whose Upload-Offset is no whole number', ['-1', '"0"', '0.5', '?0', 'zero', '', '0, 0']],
    ] as const
  ).map(([id, what, offsets]) => ({
    id: `ietf-append-offset-${id}`,
    level: 'MUST' as const,
    requirement: `An append ${what} is refused and appends nothing: the header is ignored.`,
    check: async (peer: Peer) => {
      const upload = await create(peer)
      for (const offset of offsets) {
        expectRefusal(await append(peer, upload, { from: 0, to: 1000, headers: { 'Upload-Offset': offset } }))
        await expectOpenAt(peer, upload.url, 0)
      }
    },
  })),
  {
    id: 'ietf-append-flag-missing',
    level: 'SHOULD',
    requirement:
      'An append that does not say whether it completes the upload is refused and appends nothing.',
    interop: [8],
    async check(peer) {
      const upload = await create(peer)
      for (const flag of [undefined, '1', 'true']) {
        expectRefusal(await append(peer, upload, { from: 0, to: 1000, headers: { 'Upload-Complete': flag } }))
        await expectOpenAt(peer, upload.url, 0)
      }
    },
  },
  ...(
    [
      ['other', 'another content type than application/partial-upload', 'video/mp4'],
      ['none', 'no content type', undefined],
    ] as const
  ).flatMap(([id, what, type]) => [
    {
      id: `ietf-append-content-type-${id}`,
      level: 'MUST' as const,
      requirement: `A PATCH with ${what} is no append: nothing is appended.`,
      check: async (peer: Peer) => {
        const upload = await create(peer)
        expectRefusal(await append(peer, upload, { from: 0, to: 1000, headers: { 'Content-Type': type } }))
        await expectOpenAt(peer, upload.url, 0)
      },
    },
    {
      id: `ietf-append-content-type-${id}-status`,
      level: 'SHOULD' as const,
      requirement: `A PATCH with ${what} gets 415 (RFC 5789).`,
      check: async (peer: Peer) => {
        const upload = await create(peer)
        expectStatus(
          await append(peer, upload, { from: 0, to: 1000, headers: { 'Content-Type': type } }),
          415,
        )
      },
    },
  ]),
  {
    id: 'ietf-append-unknown-6',
    level: 'MUST',
    requirement: 'An append to what does not exist gets 404.',
    interop: [6],
    async check(peer) {
      const upload = await create(peer)
      const nothing = { ...upload, url: peer.unknownUrl(upload.url) }
      expectStatus(await append(peer, nothing, { from: 0, to: 1000 }), 404)
    },
  },
  {
    id: 'ietf-append-unknown',
    level: 'SHOULD',
    requirement: 'An append to what does not exist is refused and tells no offset.',
    interop: [8],
    async check(peer) {
      const upload = await create(peer)
      const answer = await append(
        peer,
        { ...upload, url: peer.unknownUrl(upload.url) },
        { from: 0, to: 1000 },
      )
      expectRefusal(answer)
      expectNoHeader(answer, 'Upload-Offset')
    },
  },
])
