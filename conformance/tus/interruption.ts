import { expectContinue } from '../kit/continue.ts'
import { expectFailure, expectOneAtMost, expectSuccess, expectThat } from '../kit/expectations.ts'
import { mediaBytes, type Peer } from '../kit/peer.ts'
import { type Declared, rowsOf } from '../kit/row.ts'
import { eventually, orElse, untilUnderWay } from '../kit/waits.ts'
import type { Exchange } from '../kit/wire.ts'
import {
  append,
  create,
  expectOffset,
  head,
  OFFSET_STREAM,
  offsetOf,
  open,
  SIZE,
  type Upload,
} from './client.ts'
import { TUS } from './text.ts'

/** Enough that a server that buffers stores something of it. */
const LONG = 400_000

/** What blocking clients send at once: Java's do with 10 MiB. */
const BLOCKING = 10 * 1024 * 1024
const EARLY_WITHIN_MS = 5000

const openAppend = (peer: Peer, upload: Upload, length: number, headers = {}): Promise<Exchange> =>
  open(peer, {
    method: 'PATCH',
    at: upload.url,
    length,
    headers: { 'Upload-Offset': '0', 'Content-Type': OFFSET_STREAM, ...headers },
  })

/** An upload whose first PATCH broke off when half of its bytes were sent. */
async function createCut(peer: Peer): Promise<Upload> {
  const upload = await create(peer, { bytes: mediaBytes(LONG) })
  const exchange = await openAppend(peer, upload, LONG)
  await exchange.send(upload.bytes.subarray(0, LONG / 2))
  exchange.cut()
  return upload
}

export const interruptionRows: readonly Declared[] = rowsOf(
  { protocol: 'tus', after: ['tus-patch-appends'] },
  [
    {
      id: 'tus-patch-cut-kept',
      asks: TUS.patchStores,
      requirement: 'Of a PATCH whose connection breaks, as much as possible of what was received is kept.',
      async check(peer) {
        const upload = await createCut(peer)
        const isKept = await eventually(async () => (await offsetOf(peer, upload)) > 0)
        expectThat(
          isKept,
          `${LONG / 2} bytes were sent before the connection broke, and none of them is kept`,
        )
      },
    },
    {
      id: 'tus-patch-cut-resumed',
      asks: TUS.headOffset,
      requirement:
        'After a connection broke, the offset that HEAD tells is where the upload goes on, to its end.',
      async check(peer) {
        const upload = await createCut(peer)
        const statuses: number[] = []
        // The server may hear of the break after HEAD, and then stands further on.
        const isResumed = await eventually(async () => {
          const from = Number((await head(peer, upload.url)).headers.get('Upload-Offset'))
          const { status } = await append(peer, upload, { from })
          statuses.push(status)
          return status < 300 && (await offsetOf(peer, upload)) === LONG
        }, 15_000)
        expectThat(isResumed, `what was sent where HEAD said got ${statuses.join(', ')}`)
      },
    },
    {
      id: 'tus-patch-cut-incomplete',
      asks: TUS.patchOffset,
      requirement: 'The offset never tells more bytes than were sent.',
      async check(peer) {
        const upload = await createCut(peer)
        const offset = await offsetOf(peer, upload)
        expectThat(offset <= LONG / 2, `${LONG / 2} bytes were sent, ${offset} are said to be there`)
      },
    },
    {
      id: 'tus-patch-resumed-over-open',
      asks: TUS.patchTakenOver,
      requirement: 'A client that comes back while the server still waits for its old request can go on.',
      async check(peer) {
        const upload = await create(peer)
        const old = await openAppend(peer, upload, SIZE)
        await old.send(upload.bytes.subarray(0, 1000))
        await untilUnderWay()
        const isFree = await eventually(async () => (await head(peer, upload.url)).status < 300, 15_000)
        expectThat(isFree, 'HEAD finds the upload locked for 15 s after the client came back')
        const answer = await append(peer, upload, { from: await offsetOf(peer, upload) })
        expectSuccess(answer)
        await expectOffset(peer, upload, SIZE)
      },
    },
    {
      id: 'tus-patch-concurrent',
      asks: TUS.patchConflict,
      requirement: 'Of PATCH requests at the same offset at the same time one at most succeeds.',
      async check(peer) {
        const upload = await create(peer)
        await expectOneAtMost([1, 2, 3].map(() => append(peer, upload, { from: 0, to: 3000 })))
        const offset = await offsetOf(peer, upload)
        expectThat(
          offset <= 3000,
          `3000 bytes were sent thrice for one place, and the upload stands at ${offset}`,
        )
        expectSuccess(await append(peer, upload, { from: offset }))
        await expectOffset(peer, upload, SIZE)
      },
    },
    {
      id: 'tus-patch-continue',
      asks: TUS.continue,
      requirement: 'A client that expects it (Expect: 100-continue) is told to go on before it sends.',
      async check(peer) {
        const upload = await create(peer)
        const exchange = await openAppend(peer, upload, SIZE, { Expect: '100-continue' })
        await expectContinue(exchange)
        await exchange.send(upload.bytes)
        expectSuccess(await exchange.answer)
      },
    },
    {
      id: 'tus-patch-refused-early',
      asks: TUS.patchEarly,
      requirement: 'A PATCH that is refused for its headers is answered before the client has sent the body.',
      async check(peer) {
        const upload = await create(peer)
        const exchange = await openAppend(peer, upload, SIZE, {
          Expect: '100-continue',
          'Upload-Offset': '5',
        })
        const status = exchange.answer.then((answer) => answer.status)
        const answered = await orElse(status, EARLY_WITHIN_MS, undefined)
        expectThat(answered !== undefined, `no answer within ${EARLY_WITHIN_MS / 1000} s, no byte being sent`)
      },
    },
    {
      id: 'tus-patch-refused-heard',
      asks: TUS.patchHeard,
      requirement:
        'A PATCH that is refused is answered in a way that a client hears which first sends all of it.',
      async check(peer) {
        const upload = await create(peer, { bytes: mediaBytes(BLOCKING) })
        const exchange = await openAppend(peer, upload, BLOCKING, { 'Upload-Offset': '5' })
        const isSent = await exchange.send(upload.bytes)
        expectThat(isSent, `the connection was gone before ${BLOCKING} bytes were sent`)
        expectFailure(await exchange.answer)
      },
    },
  ],
)
