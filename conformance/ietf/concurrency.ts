import { expectStatus, expectSuccess, expectThat, isSuccess } from '../kit/expectations.ts'
import type { Peer } from '../kit/peer.ts'
import { type Row, rowsOf } from '../kit/row.ts'
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

const ENDED_WITHIN_MS = 10_000

/** An upload with an append that has sent some of its bytes and goes on. */
async function createBusy(peer: Peer): Promise<{ upload: Upload; old: Exchange }> {
  const upload = await create(peer)
  const headers = appendHeaders({ from: 0, isComplete: true })
  const old = await open(peer, { method: 'PATCH', at: upload.url, length: SIZE, headers })
  await old.send(upload.bytes.subarray(0, 1000))
  await untilUnderWay()
  return { upload, old }
}

export const concurrencyRows: readonly Row[] = rowsOf({ protocol: 'ietf', section: '4.6 Concurrency' }, [
  {
    id: 'ietf-concurrent-offset',
    level: 'MUST',
    requirement: 'An offset told while an older append goes on is accepted by the next append.',
    async check(peer) {
      const { upload } = await createBusy(peer)
      const from = await offsetOf(peer, upload.url)
      expectCompleted(await append(peer, upload, { from, isComplete: true }))
      const answer = await head(peer, upload.url)
      if (isSuccess(answer)) expectInteger(answer, 'Upload-Offset', SIZE)
    },
  },
  {
    id: 'ietf-concurrent-late-bytes',
    level: 'MUST',
    requirement: 'What still comes with an older append after its offset was told does not move the offset.',
    async check(peer) {
      const { upload, old } = await createBusy(peer)
      const from = await offsetOf(peer, upload.url)
      await old.send(upload.bytes.subarray(1000, 3000))
      const answer = await append(peer, upload, { from, to: 4000 })
      expectSuccess(answer)
      expectThat((await offsetOf(peer, upload.url)) === 4000, 'the older append went on')
    },
  },
  {
    id: 'ietf-concurrent-old-ended',
    level: 'SHOULD',
    requirement: 'A request that retrieves the offset ends an older append.',
    async check(peer) {
      const { upload, old } = await createBusy(peer)
      await offsetOf(peer, upload.url)
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
    level: 'MUST',
    requirement: 'An older append that is ended does not complete the upload.',
    async check(peer) {
      const { upload, old } = await createBusy(peer)
      await offsetOf(peer, upload.url)
      await old.send(upload.bytes.subarray(1000))
      const status = old.answer.then((answer) => answer.status).catch(() => 0)
      const outcome = await orElse(status, 2000, 0)
      const answer = await head(peer, upload.url)
      expectStatus(answer, 200, 204)
      // A server that lets the older one finish first has told its end as the offset.
      expectComplete(answer, outcome >= 200 && outcome < 300)
    },
  },
  {
    id: 'ietf-concurrent-appends',
    level: 'MUST',
    requirement:
      'Of appends at the same offset at the same time one at most succeeds, and no byte is there twice.',
    async check(peer) {
      const upload = await create(peer)
      const answers = await Promise.allSettled(
        [1, 2, 3].map(() => append(peer, upload, { from: 0, to: 3000 })),
      )
      const statuses = answers.map((answer) => (answer.status === 'fulfilled' ? answer.value.status : 'cut'))
      const accepted = statuses.filter((status) => status !== 'cut' && status < 300).length
      expectThat(accepted <= 1, `three appends at one offset were answered ${statuses.join(', ')}`)
      const offset = await offsetOf(peer, upload.url)
      expectThat(
        offset <= 3000,
        `3000 bytes were sent thrice for one place, and the upload stands at ${offset}`,
      )
      expectCompleted(await append(peer, upload, { from: offset, isComplete: true }))
    },
  },
])
