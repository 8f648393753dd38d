import { expectRefusal, expectStatus, expectSuccess, expectThat, skip } from '../kit/expectations.ts'
import type { Peer } from '../kit/peer.ts'
import { type Declared, rowsOf } from '../kit/row.ts'
import { orElse, untilUnderWay } from '../kit/waits.ts'
import {
  append,
  appendHeaders,
  cancel,
  create,
  createFilled,
  expectOffset,
  head,
  open,
  SIZE,
  type Upload,
} from './client.ts'
import { V6 } from './text-6.ts'
import { V8 } from './text-8.ts'

const ENDED_WITHIN_MS = 10_000

/** An upload that was cancelled; skips where the server does not do that, which it need not. */
async function cancelled(peer: Peer): Promise<Upload> {
  const upload = await create(peer)
  const answer = await cancel(peer, upload.url)
  if (answer.status === 405) skip('the server does not support cancellation: 405')
  expectStatus(answer, 204)
  return upload
}

export const cancellationRows: readonly Declared[] = rowsOf({ protocol: 'ietf' }, [
  {
    id: 'ietf-cancel',
    asks: { 8: V8.cancelled },
    requirement: 'DELETE succeeds, and what is sent to the upload resource afterwards is refused.',
    async check(peer) {
      const upload = await createFilled(peer, 1000)
      expectSuccess(await cancel(peer, upload.url))
      expectRefusal(await head(peer, upload.url))
      expectRefusal(await append(peer, upload, { from: 1000 }))
    },
  },
  {
    id: 'ietf-cancel-status',
    asks: { 6: V6.cancelled },
    requirement: 'DELETE gets 204.',
    check: async (peer) => void (await cancelled(peer)),
  },
  {
    id: 'ietf-cancel-head-after',
    asks: { 6: V6.headUnknown },
    requirement: 'HEAD on an upload that was cancelled gets 404.',
    after: ['ietf-cancel-status', 'ietf-head-unknown'],
    check: async (peer) => expectStatus(await head(peer, (await cancelled(peer)).url), 404),
  },
  {
    id: 'ietf-cancel-append-after',
    asks: { 6: V6.appendUnknown },
    requirement: 'An append to an upload that was cancelled gets 404.',
    after: ['ietf-cancel-head-after', 'ietf-append-unknown'],
    check: async (peer) => expectStatus(await append(peer, await cancelled(peer), { from: 0 }), 404),
  },
  {
    id: 'ietf-cancel-delete-after',
    asks: { 6: V6.cancelUnknown },
    requirement: 'DELETE on an upload that was cancelled gets 404.',
    after: ['ietf-cancel-head-after', 'ietf-cancel-unknown'],
    check: async (peer) => expectStatus(await cancel(peer, (await cancelled(peer)).url), 404),
  },
  {
    id: 'ietf-cancel-unknown',
    asks: { 6: V6.cancelUnknown },
    requirement: 'DELETE on what does not exist gets 404.',
    after: ['ietf-cancel-status', 'ietf-head-unknown'],
    check: async (peer) => expectStatus(await cancel(peer, peer.unknownUrl((await create(peer)).url)), 404),
  },
  {
    id: 'ietf-cancel-with-fields',
    asks: { 6: V6.cancelWithFields },
    requirement: 'DELETE with Upload-Offset or Upload-Complete gets 400 and cancels nothing.',
    after: ['ietf-cancel-status'],
    async check(peer) {
      const { url } = await createFilled(peer, 1000)
      for (const headers of [{ 'Upload-Offset': '1000' }, { 'Upload-Complete': '?0' }]) {
        expectStatus(await cancel(peer, url, headers), 400)
        await expectOffset(peer, url, 1000)
      }
    },
  },
  {
    id: 'ietf-cancel-redirect',
    asks: { 6: V6.redirects, 8: V8.cancelRedirect },
    requirement: 'DELETE is not redirected with 301 or 302.',
    async check(peer) {
      const { status } = await cancel(peer, (await create(peer)).url)
      expectThat(status !== 301 && status !== 302, `DELETE got ${status}`)
    },
  },
  {
    id: 'ietf-cancel-ends-append',
    asks: { 6: V6.cancelEnds, 8: V8.cancelEnds },
    requirement: 'DELETE ends an append to the same upload that is still going on.',
    after: ['ietf-cancel', 'ietf-cancel-status'],
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
])
