import { expectOneAtMost, expectSuccess, expectThat, isSuccess, skip } from '../kit/expectations.ts'
import type { Peer } from '../kit/peer.ts'
import { type Declared, rowsOf } from '../kit/row.ts'
import { orElse, untilUnderWay } from '../kit/waits.ts'
import type { Exchange } from '../kit/wire.ts'
import {
  append,
  appendHeaders,
  create,
  expectComplete,
  expectCompleted,
  expectInteger,
  head,
  offsetOf,
  open,
  SIZE,
  type Upload,
} from './client.ts'
import { V6 } from './text-6.ts'
import { V8 } from './text-8.ts'

const ENDED_WITHIN_MS = 10_000
const LOCKED_AFTER_MS = 15_000

/** An upload with an append that has sent some of its bytes and goes on. */
async function createBusy(peer: Peer): Promise<{ upload: Upload; old: Exchange }> {
  const upload = await create(peer)
  const headers = appendHeaders({ from: 0, isComplete: true })
  const old = await open(peer, { method: 'PATCH', at: upload.url, length: SIZE, headers })
  await old.send(upload.bytes.subarray(0, 1000))
  await untilUnderWay()
  return { upload, old }
}

/**
 * The offset, while an older append goes on. Skips where the server has an access lock: it then waits for the older
 * one, which both versions allow.
 */
async function offsetBeside(peer: Peer, { url }: Upload): Promise<number> {
  const offset = await orElse(offsetOf(peer, url), LOCKED_AFTER_MS, undefined)
  return offset ?? skip('the server waits for the older append before it tells an offset')
}

export const concurrencyRows: readonly Declared[] = rowsOf(
  { protocol: 'ietf', after: ['ietf-append-part'] },
  [
    {
      id: 'ietf-concurrent-offset',
      asks: { 6: V6.offsetAccepted, 8: V8.offsetAccepted },
      requirement: 'An offset told while an older append goes on is accepted by the next append.',
      async check(peer) {
        const { upload } = await createBusy(peer)
        const from = await offsetBeside(peer, upload)
        expectCompleted(await append(peer, upload, { from, isComplete: true }))
        const answer = await head(peer, upload.url)
        if (isSuccess(answer)) expectInteger(answer, 'Upload-Offset', SIZE)
      },
    },
    {
      id: 'ietf-concurrent-late-bytes',
      asks: { 6: V6.offsetAccepted, 8: V8.noRaces },
      requirement:
        'What still comes with an older append after its offset was told does not move the offset.',
      async check(peer) {
        const { upload, old } = await createBusy(peer)
        const from = await offsetBeside(peer, upload)
        await old.send(upload.bytes.subarray(1000, 3000))
        const answer = await append(peer, upload, { from, to: 4000 })
        expectSuccess(answer)
        expectThat((await offsetOf(peer, upload.url)) === 4000, 'the older append went on')
      },
    },
    {
      id: 'ietf-concurrent-old-ended',
      asks: { 6: V6.olderEnded, 8: V8.olderEnded },
      requirement: 'A request that retrieves the offset ends an older append.',
      async check(peer) {
        const { upload, old } = await createBusy(peer)
        await offsetBeside(peer, upload)
        const ended = old.answer.then(
          (answer) => (isSuccess(answer) ? `answered ${answer.status}` : 'ended'),
          () => 'ended',
        )
        const outcome = await orElse(ended, ENDED_WITHIN_MS, 'going on')
        expectThat(outcome === 'ended', `the older append is ${outcome}`)
      },
    },
    {
      id: 'ietf-concurrent-old-not-complete',
      asks: { 6: V6.appendNotComplete, 8: V8.appendNotComplete },
      requirement: 'An older append that is ended does not complete the upload.',
      async check(peer) {
        const { upload, old } = await createBusy(peer)
        await offsetBeside(peer, upload)
        await old.send(upload.bytes.subarray(1000))
        const status = old.answer.then((answer) => answer.status).catch(() => 0)
        const outcome = await orElse(status, 2000, 0)
        const answer = await head(peer, upload.url)
        expectSuccess(answer)
        // A server that lets the older one finish first has told its end as the offset.
        expectComplete(answer, outcome >= 200 && outcome < 300)
      },
    },
    {
      id: 'ietf-concurrent-appends',
      asks: { 6: V6.appendMismatch, 8: V8.noRaces },
      requirement:
        'Of appends at the same offset at the same time one at most succeeds, and no byte is there twice.',
      async check(peer) {
        const upload = await create(peer)
        await expectOneAtMost([1, 2, 3].map(() => append(peer, upload, { from: 0, to: 3000 })))
        const offset = await offsetOf(peer, upload.url)
        expectThat(
          offset <= 3000,
          `3000 bytes were sent thrice for one place, and the upload stands at ${offset}`,
        )
        expectCompleted(await append(peer, upload, { from: offset, isComplete: true }))
      },
    },
  ],
)
