import { expectStatus, expectSuccess } from '../kit/expectations.ts'
import { type Declared, rowsOf } from '../kit/row.ts'
import { append, create, createFilled, expectOffset, head, SIZE, terminate } from './client.ts'
import { TUS } from './text.ts'

export const terminationRows: readonly Declared[] = rowsOf(
  { protocol: 'tus', needs: ['creation', 'termination'] },
  [
    {
      id: 'tus-termination-of-new',
      asks: TUS.terminated,
      requirement: 'DELETE on an upload without bytes gets 204.',
      check: async (peer) => expectStatus(await terminate(peer, (await create(peer)).url), 204),
    },
    {
      id: 'tus-termination-of-unfinished',
      asks: TUS.terminated,
      requirement: 'DELETE on an upload with some of its bytes gets 204.',
      after: ['tus-termination-of-new'],
      check: async (peer) => expectStatus(await terminate(peer, (await createFilled(peer, 1000)).url), 204),
    },
    {
      id: 'tus-termination-of-complete',
      asks: TUS.terminated,
      requirement: 'DELETE on a complete upload gets 204.',
      after: ['tus-termination-of-new'],
      check: async (peer) => expectStatus(await terminate(peer, (await createFilled(peer, SIZE)).url), 204),
    },
    {
      id: 'tus-termination-head-after',
      asks: TUS.afterTermination,
      requirement: 'HEAD on a terminated upload gets 404 or 410.',
      async check(peer) {
        const { url } = await createFilled(peer, 1000)
        await terminate(peer, url)
        expectStatus(await head(peer, url), 404, 410)
      },
    },
    {
      id: 'tus-termination-patch-after',
      asks: TUS.afterTermination,
      requirement: 'PATCH on a terminated upload gets 404 or 410.',
      after: ['tus-termination-head-after'],
      async check(peer) {
        const upload = await createFilled(peer, 1000)
        await terminate(peer, upload.url)
        expectStatus(await append(peer, upload, { from: 1000 }), 404, 410)
      },
    },
    {
      id: 'tus-termination-delete-after',
      asks: TUS.afterTermination,
      requirement: 'DELETE on a terminated upload gets 404 or 410.',
      after: ['tus-termination-head-after'],
      async check(peer) {
        const { url } = await create(peer)
        await terminate(peer, url)
        expectStatus(await terminate(peer, url), 404, 410)
      },
    },
    {
      id: 'tus-termination-of-one',
      asks: TUS.terminated,
      requirement: 'DELETE removes the upload it names, and no other.',
      after: ['tus-head-offset-of-new', 'tus-patch-appends'],
      async check(peer) {
        const kept = await createFilled(peer, 1000)
        await terminate(peer, (await createFilled(peer, 1000)).url)
        await expectOffset(peer, kept, 1000)
        expectSuccess(await append(peer, kept, { from: 1000 }))
      },
    },
  ],
)
