import type { Answer } from '../kit/answer.ts'
import { expectStatus, expectSuccess } from '../kit/expectations.ts'
import type { Peer } from '../kit/peer.ts'
import { type Declared, rowsOf } from '../kit/row.ts'
import { checksumOf } from './checksum.ts'
import { create, createFilled, expectOffset, OFFSET_STREAM, open, SIZE, type Upload } from './client.ts'
import { TUS } from './text.ts'

type Piece = { from: number; to?: number; checksum: string }

/** PATCH in chunks, the checksum after the last of them. */
async function appendWithTrailer(peer: Peer, upload: Upload, { from, to, checksum }: Piece): Promise<Answer> {
  const exchange = await open(peer, {
    method: 'PATCH',
    at: upload.url,
    isChunked: true,
    headers: { 'Upload-Offset': String(from), 'Content-Type': OFFSET_STREAM, Trailer: 'Upload-Checksum' },
  })
  const bytes = upload.bytes.subarray(from, to)
  await exchange.send(bytes.subarray(0, bytes.byteLength / 2))
  await exchange.send(bytes.subarray(bytes.byteLength / 2))
  exchange.end({ 'Upload-Checksum': checksum })
  return await exchange.answer
}

const checksum = (bytes: Uint8Array) => checksumOf(bytes)['Upload-Checksum']
const WRONG = checksum(Buffer.from('other bytes'))

export const checksumTrailerRows: readonly Declared[] = rowsOf(
  { protocol: 'tus', needs: ['creation', 'checksum', 'checksum-trailer'], after: ['tus-patch-appends'] },
  [
    {
      id: 'tus-trailer-right',
      asks: TUS.checksumTrailer,
      requirement: 'PATCH in chunks with the right checksum behind them succeeds.',
      async check(peer) {
        const upload = await create(peer)
        const answer = await appendWithTrailer(peer, upload, { from: 0, checksum: checksum(upload.bytes) })
        expectSuccess(answer)
        await expectOffset(peer, upload, SIZE)
      },
    },
    {
      id: 'tus-trailer-wrong',
      asks: TUS.checksumDiscards,
      requirement: 'PATCH in chunks with a wrong checksum behind them keeps nothing.',
      after: ['tus-checksum-sha1-wrong'],
      async check(peer) {
        const upload = await createFilled(peer, 1000)
        await appendWithTrailer(peer, upload, { from: 1000, to: 2000, checksum: WRONG })
        await expectOffset(peer, upload, 1000)
      },
    },
    {
      id: 'tus-trailer-wrong-at-end',
      asks: TUS.checksumDiscards,
      requirement: 'A wrong checksum behind the last bytes does not complete the upload.',
      after: ['tus-trailer-wrong'],
      async check(peer) {
        const upload = await create(peer)
        await appendWithTrailer(peer, upload, { from: 0, checksum: WRONG })
        await expectOffset(peer, upload, 0)
      },
    },
    {
      id: 'tus-trailer-wrong-status',
      asks: TUS.checksumStatus,
      requirement: 'A wrong checksum in a trailer gets 460.',
      after: ['tus-trailer-wrong'],
      async check(peer) {
        const upload = await create(peer)
        expectStatus(await appendWithTrailer(peer, upload, { from: 0, to: 1000, checksum: WRONG }), 460)
      },
    },
    {
      id: 'tus-trailer-unknown',
      asks: TUS.checksumDiscards,
      requirement: 'An algorithm in a trailer that is not supported keeps nothing.',
      after: ['tus-checksum-unknown-discarded', 'tus-trailer-wrong'],
      async check(peer) {
        const upload = await create(peer)
        await appendWithTrailer(peer, upload, { from: 0, to: 1000, checksum: 'nonesuch YWJj' })
        await expectOffset(peer, upload, 0)
      },
    },
  ],
)
