import { expectHeader, expectNoHeader, expectStatus } from '../kit/expectations.ts'
import { type Row, rowsOf } from '../kit/row.ts'
import { create, createFilled, head, SIZE } from './client.ts'

export const headRows: readonly Row[] = rowsOf({ protocol: 'tus', section: 'HEAD' }, [
  {
    id: 'tus-head-status',
    level: 'SHOULD',
    requirement: 'HEAD succeeds with 200 or 204.',
    check: async (peer) => expectStatus(await head(peer, (await create(peer)).url), 200, 204),
  },
  {
    id: 'tus-head-offset-of-new',
    level: 'MUST',
    requirement: 'HEAD on an upload without bytes has Upload-Offset: 0.',
    check: async (peer) => expectHeader(await head(peer, (await create(peer)).url), 'Upload-Offset', '0'),
  },
  {
    id: 'tus-head-offset-of-begun',
    level: 'MUST',
    requirement: 'HEAD on an upload with some of its bytes tells how many in Upload-Offset.',
    async check(peer) {
      const { url } = await createFilled(peer, 2500)
      expectHeader(await head(peer, url), 'Upload-Offset', '2500')
    },
  },
  {
    id: 'tus-head-offset-of-complete',
    level: 'MUST',
    requirement: 'HEAD on a complete upload has an Upload-Offset as well, which is its length.',
    async check(peer) {
      const answer = await head(peer, (await createFilled(peer, SIZE)).url)
      expectHeader(answer, 'Upload-Offset', String(SIZE))
      expectHeader(answer, 'Upload-Length', String(SIZE))
    },
  },
  {
    id: 'tus-head-length',
    level: 'MUST',
    requirement: 'HEAD tells the length, when it is known, in Upload-Length.',
    check: async (peer) =>
      expectHeader(await head(peer, (await createFilled(peer, 1000)).url), 'Upload-Length', String(SIZE)),
  },
  {
    id: 'tus-head-no-store',
    level: 'MUST',
    requirement: 'Nobody may cache the answer to HEAD: it has Cache-Control: no-store.',
    check: async (peer) =>
      expectHeader(await head(peer, (await create(peer)).url), 'Cache-Control', /(^|[ ,])no-store($|[ ,])/),
  },
  {
    id: 'tus-head-unknown',
    level: 'SHOULD',
    requirement: 'HEAD on what does not exist gets 404, 410 or 403.',
    async check(peer) {
      const { url } = await create(peer)
      expectStatus(await head(peer, peer.unknownUrl(url)), 404, 410, 403)
    },
  },
  {
    id: 'tus-head-unknown-offset',
    level: 'SHOULD',
    requirement: 'HEAD on what does not exist tells no Upload-Offset.',
    async check(peer) {
      const { url } = await create(peer)
      expectNoHeader(await head(peer, peer.unknownUrl(url)), 'Upload-Offset')
    },
  },
])
