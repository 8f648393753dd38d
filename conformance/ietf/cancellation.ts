import { expectRefusal, expectStatus, expectSuccess, expectThat } from '../kit/expectations.ts'
import type { Peer } from '../kit/peer.ts'
import { type Row, rowsOf } from '../kit/row.ts'
import { orElse, untilUnderWay } from '../kit/waits.ts'
import {
  append,
  appendHeaders,
  cancel,
  create,
  createFilled,
  expectOpenAt,
  head,
  open,
  SIZE,
} from './client.ts'

const ENDED_WITHIN_MS = 10_000

export const cancellationRows: readonly Row[] = rowsOf(
  { protocol: 'ietf', section: '4.5 Upload Cancellation' },
  [
    {
      id: 'ietf-cancel',
      level: 'SHOULD',
      requirement: 'DELETE succeeds, and what is sent to the upload resource afterwards is refused.',
      async check(peer) {
        const upload = await createFilled(peer, 1000)
        expectSuccess(await cancel(peer, upload.url))
        expectRefusal(await head(peer, upload.url))
        expectRefusal(await append(peer, upload, { from: 1000 }))
      },
    },
    {
      id: 'ietf-cancel-status-6',
      level: 'MUST',
      requirement: 'DELETE gets 204.',
      interop: [6],
      check: async (peer) => expectStatus(await cancel(peer, (await createFilled(peer, 1000)).url), 204),
    },
    ...(
      [
        ['head', 'HEAD', async (peer: Peer, url: URL) => await head(peer, url)],
        ['delete', 'DELETE', async (peer: Peer, url: URL) => await cancel(peer, url)],
      ] as const
    ).map(([id, method, ask]) => ({
      id: `ietf-cancel-${id}-after-6`,
      level: 'MUST' as const,
      requirement: `${method} on an upload that was cancelled gets 404.`,
      interop: [6] as const,
      check: async (peer: Peer) => {
        const { url } = await create(peer)
        expectStatus(await cancel(peer, url), 204)
        expectStatus(await ask(peer, url), 404)
      },
    })),
    {
      id: 'ietf-cancel-append-after-6',
      level: 'MUST',
      requirement: 'An append to an upload that was cancelled gets 404.',
      interop: [6],
      async check(peer) {
        const upload = await create(peer)
        expectStatus(await cancel(peer, upload.url), 204)
        expectStatus(await append(peer, upload, { from: 0 }), 404)
      },
    },
    {
      id: 'ietf-cancel-unknown-6',
      level: 'MUST',
      requirement: 'DELETE on what does not exist gets 404.',
      interop: [6],
      check: async (peer) => expectStatus(await cancel(peer, peer.unknownUrl((await create(peer)).url)), 404),
    },
    ...(
      [
        ['offset', 'Upload-Offset', '1000'],
        ['complete', 'Upload-Complete', '?0'],
      ] as const
    ).map(([id, name, value]) => ({
      id: `ietf-cancel-with-${id}-6`,
      level: 'MUST' as const,
      requirement: `DELETE with ${name} gets 400 and cancels nothing.`,
      interop: [6] as const,
      check: async (peer: Peer) => {
        const { url } = await createFilled(peer, 1000)
        expectStatus(await cancel(peer, url, { [name]: value }), 400)
        await expectOpenAt(peer, url, 1000)
      },
    })),
    {
      id: 'ietf-cancel-redirect',
      level: 'SHOULD',
      requirement: 'DELETE is not redirected with 301 or 302.',
      async check(peer) {
        const { status } = await cancel(peer, (await create(peer)).url)
        expectThat(status !== 301 && status !== 302, `DELETE got ${status}`)
      },
    },
    {
      id: 'ietf-cancel-ends-append',
      level: 'SHOULD',
      requirement: 'DELETE ends an append to the same upload that is still going on.',
      async check(peer) {
        const upload = await create(peer)
        const headers = appendHeaders({ from: 0 })
        const exchange = await open(peer, { method: 'PATCH', at: upload.url, length: SIZE, headers })
        await exchange.send(upload.bytes.subarray(0, 1000))
        await untilUnderWay()
        expectSuccess(await cancel(peer, upload.url))
        const ended = exchange.answer.then(
          ({ status }) => (status >= 400 ? 'refused' : `answered ${status}`),
          () => 'cut',
        )
        const outcome = await orElse(ended, ENDED_WITHIN_MS, 'going on')
        expectThat(outcome === 'refused' || outcome === 'cut', `the append is ${outcome} after the DELETE`)
        expectRefusal(await head(peer, upload.url))
      },
    },
  ],
)
