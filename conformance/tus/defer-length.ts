import { expectHeader, expectNoHeader, expectStatus, expectSuccess } from '../kit/expectations.ts'
import { type Declared, rowsOf } from '../kit/row.ts'
import { append, create, createFilled, creation, head, SIZE } from './client.ts'
import { TUS } from './text.ts'

const DEFERRED = { length: null }
const length = (bytes: number) => ({ 'Upload-Length': String(bytes) })

export const deferLengthRows: readonly Declared[] = rowsOf(
  { protocol: 'tus', needs: ['creation', 'creation-defer-length'], after: ['tus-patch-appends'] },
  [
    {
      id: 'tus-defer-status',
      asks: TUS.created,
      requirement: 'A creation that defers the length succeeds with 201.',
      check: async (peer) => expectStatus(await creation(peer, DEFERRED), 201),
      after: ['tus-creation-status'],
    },
    {
      id: 'tus-defer-head',
      asks: TUS.lengthDeferred,
      requirement: 'While the length is not known HEAD has Upload-Defer-Length: 1.',
      async check(peer) {
        const answer = await head(peer, (await create(peer, DEFERRED)).url)
        expectHeader(answer, 'Upload-Defer-Length', '1')
      },
    },
    {
      id: 'tus-defer-head-after-patch',
      asks: TUS.lengthDeferred,
      requirement: 'Bytes may come while the length is not known, and HEAD goes on saying so.',
      after: ['tus-defer-head'],
      async check(peer) {
        const upload = await create(peer, DEFERRED)
        expectSuccess(await append(peer, upload, { from: 0, to: 1000 }))
        const answer = await head(peer, upload.url)
        expectHeader(answer, 'Upload-Defer-Length', '1')
        expectHeader(answer, 'Upload-Offset', '1000')
      },
    },
    {
      id: 'tus-defer-declared-first',
      asks: TUS.headLength,
      requirement: 'A PATCH may declare the length with the first bytes; then HEAD tells it.',
      after: ['tus-head-length'],
      async check(peer) {
        const upload = await create(peer, DEFERRED)
        expectSuccess(await append(peer, upload, { from: 0, to: 1000, headers: length(SIZE) }))
        const answer = await head(peer, upload.url)
        expectHeader(answer, 'Upload-Length', String(SIZE))
        expectNoHeader(answer, 'Upload-Defer-Length')
      },
    },
    {
      id: 'tus-defer-declared-later',
      asks: TUS.headLength,
      requirement: 'A later PATCH may declare the length, and the upload is complete there.',
      after: ['tus-defer-declared-first'],
      async check(peer) {
        const upload = await createFilled(peer, 1000, DEFERRED)
        expectSuccess(await append(peer, upload, { from: 1000, headers: length(SIZE) }))
        const answer = await head(peer, upload.url)
        expectHeader(answer, 'Upload-Offset', String(SIZE))
        expectHeader(answer, 'Upload-Length', String(SIZE))
      },
    },
    {
      id: 'tus-defer-declared-without-bytes',
      asks: TUS.headLength,
      requirement:
        'A PATCH without bytes may declare the length, when the end was noticed after the last byte.',
      after: ['tus-defer-declared-first', 'tus-patch-empty'],
      async check(peer) {
        const upload = await createFilled(peer, SIZE, DEFERRED)
        expectSuccess(await append(peer, upload, { from: SIZE, headers: length(SIZE) }))
        expectHeader(await head(peer, upload.url), 'Upload-Length', String(SIZE))
      },
    },
    {
      id: 'tus-defer-declared-twice',
      asks: TUS.lengthFixed,
      requirement: 'A length that was declared does not change any more.',
      after: ['tus-defer-declared-first'],
      async check(peer) {
        const upload = await create(peer, DEFERRED)
        expectSuccess(await append(peer, upload, { from: 0, to: 1000, headers: length(SIZE) }))
        await append(peer, upload, { from: 1000, to: 1500, headers: length(SIZE + 100) })
        expectHeader(await head(peer, upload.url), 'Upload-Length', String(SIZE))
      },
    },
    {
      id: 'tus-defer-too-large',
      asks: TUS.tooLarge,
      requirement: 'A length beyond the largest size gets 413 when it is declared late as well.',
      needs: ['max-size'],
      after: ['tus-creation-too-large'],
      async check(peer) {
        const upload = await create(peer, DEFERRED)
        const headers = length((peer.capabilities.maxSize ?? 0) + 1)
        expectStatus(await append(peer, upload, { from: 0, to: 1000, headers }), 413)
      },
    },
  ],
)

export const fixedLengthRows: readonly Declared[] = rowsOf(
  { protocol: 'tus', needs: ['creation'], after: ['tus-patch-appends'] },
  [
    {
      id: 'tus-length-does-not-change',
      asks: TUS.lengthFixed,
      requirement: 'The length of a creation does not change with what a PATCH declares.',
      after: ['tus-head-length'],
      async check(peer) {
        const upload = await create(peer)
        await append(peer, upload, { from: 0, to: 1000, headers: length(SIZE + 100) })
        expectHeader(await head(peer, upload.url), 'Upload-Length', String(SIZE))
      },
    },
  ],
)
