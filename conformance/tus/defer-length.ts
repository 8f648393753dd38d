import { expectHeader, expectNoHeader, expectStatus } from '../kit/expectations.ts'
import { type Row, rowsOf } from '../kit/row.ts'
import { append, create, createFilled, creation, head, SIZE } from './client.ts'

const DEFERRED = { length: null }
const length = (bytes: number) => ({ 'Upload-Length': String(bytes) })

export const deferLengthRows: readonly Row[] = rowsOf(
  { protocol: 'tus', section: 'Upload-Defer-Length', needs: ['creation', 'creation-defer-length'] },
  [
    {
      id: 'tus-defer-status',
      level: 'MUST',
      requirement: 'A creation that defers the length succeeds with 201.',
      check: async (peer) => expectStatus(await creation(peer, DEFERRED), 201),
    },
    {
      id: 'tus-defer-head',
      level: 'MUST',
      requirement: 'While the length is not known HEAD has Upload-Defer-Length: 1 and no Upload-Length.',
      async check(peer) {
        const answer = await head(peer, (await create(peer, DEFERRED)).url)
        expectHeader(answer, 'Upload-Defer-Length', '1')
        expectHeader(answer, 'Upload-Offset', '0')
        expectNoHeader(answer, 'Upload-Length')
      },
    },
    {
      id: 'tus-defer-head-after-patch',
      level: 'MUST',
      requirement: 'Bytes may come while the length is not known, and HEAD goes on saying so.',
      async check(peer) {
        const answer = await head(peer, (await createFilled(peer, 1000, DEFERRED)).url)
        expectHeader(answer, 'Upload-Defer-Length', '1')
        expectHeader(answer, 'Upload-Offset', '1000')
      },
    },
    {
      id: 'tus-defer-declared-first',
      level: 'MUST',
      requirement: 'A PATCH may declare the length with the first bytes; then HEAD tells it.',
      async check(peer) {
        const upload = await create(peer, DEFERRED)
        expectStatus(await append(peer, upload, { from: 0, to: 1000, headers: length(SIZE) }), 204)
        const answer = await head(peer, upload.url)
        expectHeader(answer, 'Upload-Length', String(SIZE))
        expectNoHeader(answer, 'Upload-Defer-Length')
      },
    },
    {
      id: 'tus-defer-declared-later',
      level: 'MUST',
      requirement: 'A later PATCH may declare the length, and the upload is complete there.',
      async check(peer) {
        const upload = await createFilled(peer, 1000, DEFERRED)
        expectStatus(await append(peer, upload, { from: 1000, headers: length(SIZE) }), 204)
        const answer = await head(peer, upload.url)
        expectHeader(answer, 'Upload-Offset', String(SIZE))
        expectHeader(answer, 'Upload-Length', String(SIZE))
      },
    },
    {
      id: 'tus-defer-declared-without-bytes',
      level: 'MUST',
      requirement:
        'A PATCH without bytes may declare the length, when the end was noticed after the last byte.',
      async check(peer) {
        const upload = await createFilled(peer, SIZE, DEFERRED)
        expectStatus(await append(peer, upload, { from: SIZE, headers: length(SIZE) }), 204)
        expectHeader(await head(peer, upload.url), 'Upload-Length', String(SIZE))
      },
    },
    {
      id: 'tus-defer-declared-twice',
      level: 'MUST',
      requirement: 'A length that was declared does not change any more.',
      async check(peer) {
        const upload = await create(peer, DEFERRED)
        expectStatus(await append(peer, upload, { from: 0, to: 1000, headers: length(SIZE) }), 204)
        await append(peer, upload, { from: 1000, to: 1500, headers: length(SIZE + 100) })
        expectHeader(await head(peer, upload.url), 'Upload-Length', String(SIZE))
      },
    },
    {
      id: 'tus-defer-too-large',
      level: 'MUST',
      requirement: 'A length beyond the largest size gets 413 when it is declared late as well.',
      needs: ['max-size'],
      async check(peer) {
        const upload = await create(peer, DEFERRED)
        const headers = length((peer.capabilities.maxSize ?? 0) + 1)
        expectStatus(await append(peer, upload, { from: 0, to: 1000, headers }), 413)
      },
    },
  ],
)

export const fixedLengthRows: readonly Row[] = rowsOf(
  { protocol: 'tus', section: 'Upload-Length', needs: ['creation'] },
  [
    {
      id: 'tus-length-does-not-change',
      level: 'MUST',
      requirement: 'The length of a creation does not change with what a PATCH declares.',
      async check(peer) {
        const upload = await create(peer)
        await append(peer, upload, { from: 0, to: 1000, headers: length(SIZE + 100) })
        expectHeader(await head(peer, upload.url), 'Upload-Length', String(SIZE))
      },
    },
  ],
)
