import { expectHeader, expectNoHeader, expectStatus, expectThat } from '../kit/expectations.ts'
import { type Declared, rowsOf } from '../kit/row.ts'
import { append, create, createFilled, expectOffset, head, SIZE } from './client.ts'
import { TUS } from './text.ts'

/** Headers that HTTP itself has in answers, and those that tus gives to answers of PATCH alone. */
const ORDINARY = /^(date|connection|keep-alive|content-|transfer-encoding|vary|server|upload-expires)/

export const headRows: readonly Declared[] = rowsOf({ protocol: 'tus' }, [
  {
    id: 'tus-head-status',
    asks: TUS.headStatus,
    requirement: 'HEAD succeeds with 200 or 204.',
    check: async (peer) => expectStatus(await head(peer, (await create(peer)).url), 200, 204),
  },
  {
    id: 'tus-head-offset-of-new',
    asks: TUS.headOffset,
    requirement: 'HEAD on an upload without bytes has Upload-Offset: 0.',
    check: async (peer) => await expectOffset(peer, await create(peer), 0),
  },
  {
    id: 'tus-head-offset-of-begun',
    asks: TUS.headOffset,
    requirement: 'HEAD on an upload with some of its bytes tells how many in Upload-Offset.',
    after: ['tus-head-offset-of-new'],
    check: async (peer) => await expectOffset(peer, await createFilled(peer, 2500), 2500),
  },
  {
    id: 'tus-head-offset-of-complete',
    asks: TUS.headOffset,
    requirement: 'HEAD on a complete upload has an Upload-Offset as well, which is its length.',
    after: ['tus-head-offset-of-new'],
    check: async (peer) => await expectOffset(peer, await createFilled(peer, SIZE), SIZE),
  },
  {
    id: 'tus-head-final-headers',
    asks: TUS.headAfterLoss,
    requirement:
      'What the answer to the last PATCH tells in headers HEAD tells too: that answer may have been lost.',
    after: ['tus-head-offset-of-new'],
    async check(peer) {
      const upload = await createFilled(peer, 1000)
      const final = await append(peer, upload, { from: 1000 })
      const told = (await head(peer, upload.url)).headers
      const lost = final.headers.names.filter((name) => !ORDINARY.test(name) && told.get(name) === undefined)
      expectThat(lost.length === 0, `HEAD lacks ${lost.join(', ')}`)
    },
  },
  {
    id: 'tus-head-length',
    asks: TUS.headLength,
    requirement: 'HEAD tells the length, when it is known, in Upload-Length.',
    after: ['tus-head-offset-of-new'],
    check: async (peer) =>
      expectHeader(await head(peer, (await createFilled(peer, 1000)).url), 'Upload-Length', String(SIZE)),
  },
  {
    id: 'tus-head-not-deferred',
    asks: TUS.notDeferred,
    requirement: 'HEAD on an upload whose length is known has no Upload-Defer-Length.',
    check: async (peer) => expectNoHeader(await head(peer, (await create(peer)).url), 'Upload-Defer-Length'),
  },
  {
    id: 'tus-head-no-store',
    asks: TUS.headNoStore,
    requirement: 'Nobody may cache the answer to HEAD: it has Cache-Control: no-store.',
    after: ['tus-head-offset-of-new'],
    check: async (peer) =>
      expectHeader(await head(peer, (await create(peer)).url), 'Cache-Control', /(^|[ ,])no-store($|[ ,])/),
  },
  {
    id: 'tus-head-unknown',
    asks: TUS.headUnknown,
    requirement: 'HEAD on what does not exist gets 404, 410 or 403.',
    async check(peer) {
      const { url } = await create(peer)
      expectStatus(await head(peer, peer.unknownUrl(url)), 404, 410, 403)
    },
  },
  {
    id: 'tus-head-unknown-offset',
    asks: TUS.headUnknown,
    requirement: 'HEAD on what does not exist tells no Upload-Offset.',
    after: ['tus-head-unknown'],
    async check(peer) {
      const { url } = await create(peer)
      expectNoHeader(await head(peer, peer.unknownUrl(url)), 'Upload-Offset')
    },
  },
])
