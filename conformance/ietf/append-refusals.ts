import { expectNoHeader, expectRefusal, expectStatus } from '../kit/expectations.ts'
import type { Peer } from '../kit/peer.ts'
import { type Declared, rowsOf } from '../kit/row.ts'
import { append, create, createFilled, expectComplete, expectInteger, expectOffset, SIZE } from './client.ts'
import { V6 } from './text-6.ts'
import { V8 } from './text-8.ts'

const HALF = SIZE / 2
const OTHER_TYPES = ['video/mp4', undefined]

export const appendRefusalRows: readonly Declared[] = rowsOf(
  { protocol: 'ietf', after: ['ietf-append-part'] },
  [
    ...(
      [
        ['beyond', [1001, HALF, SIZE]],
        ['behind', [0, 999]],
      ] as const
    ).map(([where, offsets]) => ({
      id: `ietf-append-mismatch-${where}`,
      asks: { 6: V6.appendMismatch, 8: V8.appendMismatch },
      requirement: `An append ${where} the current offset gets 409, and changes nothing.`,
      after: where === 'behind' ? ['ietf-append-mismatch-beyond'] : [],
      check: async (peer: Peer) => {
        const upload = await createFilled(peer, 1000)
        for (const from of offsets) expectStatus(await append(peer, upload, { from, to: from + 100 }), 409)
        await expectOffset(peer, upload.url, 1000)
      },
    })),
    {
      id: 'ietf-append-mismatch-offset',
      asks: { 6: V6.appendOffset, 8: V8.appendMismatchOffset },
      requirement: 'The 409 to an append at another offset tells the right one in Upload-Offset.',
      after: ['ietf-append-mismatch-beyond'],
      async check(peer) {
        const upload = await createFilled(peer, 1000)
        expectInteger(await append(peer, upload, { from: 1500, to: 2500 }), 'Upload-Offset', 1000)
      },
    },
    {
      id: 'ietf-append-mismatch-incomplete',
      asks: { 8: V8.appendMismatchFlag },
      requirement:
        'The 409 to an append at another offset says Upload-Complete: ?0, whatever the append said.',
      after: ['ietf-append-mismatch-beyond'],
      async check(peer) {
        const upload = await createFilled(peer, 1000)
        for (const isComplete of [false, true]) {
          expectComplete(await append(peer, upload, { from: 1500, isComplete }), false)
        }
      },
    },
    ...(
      [
        ['missing', 'without an Upload-Offset', [undefined]],
        [
          'malformed',
          'whose Upload-Offset is no whole number',
          ['-1', '"0"', '0.5', '?0', 'zero', '', '0, 0'],
        ],
      ] as const
    ).map(([id, what, offsets]) => ({
      id: `ietf-append-offset-${id}`,
      asks: { 6: V6.appendMalformed, 8: V8.appendMalformed },
      requirement: `An append ${what} is refused and appends nothing.`,
      check: async (peer: Peer) => {
        const upload = await create(peer)
        for (const offset of offsets) {
          expectRefusal(
            await append(peer, upload, { from: 0, to: 1000, headers: { 'Upload-Offset': offset } }),
          )
          await expectOffset(peer, upload.url, 0)
        }
      },
    })),
    {
      id: 'ietf-append-flag-missing',
      asks: { 8: V8.appendMalformed },
      requirement:
        'An append that does not say whether it completes the upload is refused and appends nothing.',
      async check(peer) {
        const upload = await create(peer)
        for (const flag of [undefined, '1', 'true']) {
          expectRefusal(
            await append(peer, upload, { from: 0, to: 1000, headers: { 'Upload-Complete': flag } }),
          )
          await expectOffset(peer, upload.url, 0)
        }
      },
    },
    {
      id: 'ietf-append-content-type',
      asks: { 6: V6.appendContentType, 8: V8.appendContentType },
      requirement: 'A PATCH of another type than application/partial-upload, or of none, appends nothing.',
      async check(peer) {
        const upload = await create(peer)
        for (const type of OTHER_TYPES) {
          expectRefusal(await append(peer, upload, { from: 0, to: 1000, headers: { 'Content-Type': type } }))
          await expectOffset(peer, upload.url, 0)
        }
      },
    },
    {
      id: 'ietf-append-content-type-status',
      asks: { 6: V6.appendContentType, 8: V8.appendContentType },
      requirement: 'A PATCH of another type than application/partial-upload, or of none, gets 415.',
      after: ['ietf-append-content-type'],
      async check(peer) {
        const upload = await create(peer)
        for (const type of OTHER_TYPES) {
          const headers = { 'Content-Type': type }
          expectStatus(await append(peer, upload, { from: 0, to: 1000, headers }), 415)
        }
      },
    },
    {
      id: 'ietf-append-unknown',
      asks: { 6: V6.appendUnknown, 8: V8.appendUnknown },
      requirement: 'An append to what does not exist is refused and tells no offset; 6: it gets 404.',
      after: ['ietf-head-unknown'],
      async check(peer) {
        const upload = await create(peer)
        const nothing = { ...upload, url: peer.unknownUrl(upload.url) }
        const answer = await append(peer, nothing, { from: 0, to: 1000 })
        if (peer.interop === 6) expectStatus(answer, 404)
        expectRefusal(answer)
        expectNoHeader(answer, 'Upload-Offset')
      },
    },
  ],
)
