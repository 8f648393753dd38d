import { expectHeader, expectNoHeader, expectStatus } from '../kit/expectations.ts'
import { type Row, rowsOf } from '../kit/row.ts'
import { append, create, createFilled, expectOffset, head, SIZE, terminate } from './client.ts'

export const terminationRows: readonly Row[] = rowsOf(
  { protocol: 'tus', section: 'Termination', needs: ['creation', 'termination'] },
  [
    {
      id: 'tus-termination-of-new',
      level: 'MUST',
      requirement: 'DELETE on an upload without bytes gets 204.',
      check: async (peer) => expectStatus(await terminate(peer, (await create(peer)).url), 204),
    },
    {
      id: 'tus-termination-of-unfinished',
      level: 'MUST',
      requirement: 'DELETE on an upload with some of its bytes gets 204.',
      check: async (peer) => expectStatus(await terminate(peer, (await createFilled(peer, 1000)).url), 204),
    },
    {
      id: 'tus-termination-of-complete',
      level: 'MUST',
      requirement: 'DELETE on a complete upload gets 204.',
      check: async (peer) => expectStatus(await terminate(peer, (await createFilled(peer, SIZE)).url), 204),
    },
    {
      id: 'tus-termination-head-after',
      level: 'SHOULD',
      requirement: 'HEAD on a terminated upload gets 404 or 410, without an offset.',
      async check(peer) {
        const { url } = await createFilled(peer, 1000)
        await terminate(peer, url)
        const answer = await head(peer, url)
        expectStatus(answer, 404, 410)
        expectNoHeader(answer, 'Upload-Offset')
      },
    },
    {
      id: 'tus-termination-patch-after',
      level: 'SHOULD',
      requirement: 'PATCH on a terminated upload gets 404 or 410.',
      async check(peer) {
        const upload = await createFilled(peer, 1000)
        await terminate(peer, upload.url)
        expectStatus(await append(peer, upload, { from: 1000 }), 404, 410)
      },
    },
    {
      id: 'tus-termination-delete-after',
      level: 'SHOULD',
      requirement: 'DELETE on a terminated upload gets 404 or 410.',
      async check(peer) {
        const { url } = await create(peer)
        await terminate(peer, url)
        expectStatus(await terminate(peer, url), 404, 410)
      },
    },
    {
      id: 'tus-termination-of-one',
      level: 'MUST',
      requirement: 'DELETE removes the upload it names, and no other.',
      async check(peer) {
        const kept = await createFilled(peer, 1000)
        await terminate(peer, (await createFilled(peer, 1000)).url)
        await expectOffset(peer, kept, 1000)
        expectHeader(await append(peer, kept, { from: 1000 }), 'Upload-Offset', String(SIZE))
      },
    },
  ],
)
