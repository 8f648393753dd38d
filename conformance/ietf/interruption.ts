import { ofSomeDrafts } from '../kit/clause.ts'
import { expectSuccess, expectThat, headerOf, isSuccess, skip } from '../kit/expectations.ts'
import { mediaBytes, type Peer } from '../kit/peer.ts'
import { type Declared, rowsOf } from '../kit/row.ts'
import { eventually } from '../kit/waits.ts'
import {
  append,
  appendHeaders,
  create,
  creationHeaders,
  expectComplete,
  expectInteger,
  head,
  INTERIM_TIMEOUT_MS,
  isAnnouncement,
  offsetOf,
  open,
  type Stored,
} from './client.ts'
import { V6 } from './text-6.ts'
import { V8 } from './text-8.ts'

/** Enough that a server that buffers stores something of it. */
const LONG = 400_000

/** An upload whose completing append broke off when half of its bytes were sent. */
async function createCut(peer: Peer): Promise<Stored> {
  const upload = await create(peer, { bytes: mediaBytes(LONG) })
  const headers = appendHeaders({ from: 0, isComplete: true })
  const exchange = await open(peer, { method: 'PATCH', at: upload.url, length: LONG, headers })
  await exchange.send(upload.bytes.subarray(0, LONG / 2))
  exchange.cut()
  return upload
}

/** A creation of everything that broke off when half of it was sent; skips where no 104 says where it is. */
async function createBroken(peer: Peer): Promise<Stored> {
  const bytes = mediaBytes(LONG)
  const exchange = await open(peer, {
    method: 'POST',
    length: LONG,
    headers: creationHeaders({ isComplete: true }),
  })
  await exchange.send(bytes.subarray(0, LONG / 2))
  const told = await exchange.interimThat(isAnnouncement, INTERIM_TIMEOUT_MS)
  if (!told) skip('the server sends no 104 (Upload Resumption Supported)')
  exchange.cut()
  return { url: peer.locate(headerOf(told, 'Location')), bytes }
}

const WAYS = [
  {
    id: 'creation',
    what: 'a creation',
    interrupt: createBroken,
    kept: { 6: V6.creationKept, 8: V8.creationKept },
    notComplete: { 6: V6.creationNotComplete, 8: V8.creationNotComplete },
    // Draft-04 has no Upload-Length by which HEAD could tell it.
    lengthRecorded: { 6: ofSomeDrafts(V6.lengthImplied), 8: V8.lengthRecorded },
  },
  {
    id: 'append',
    what: 'an append',
    interrupt: createCut,
    kept: { 6: V6.appendKept, 8: V8.appendKept },
    notComplete: { 6: V6.appendNotComplete, 8: V8.appendNotComplete },
    // Draft-05 has HEAD tell a length that was recorded during the creation, and no later one.
    lengthRecorded: { 8: V8.appendLengthRecorded },
  },
] as const

/** What a connection that breaks in the middle of a body leaves behind. */
export const interruptionRows: readonly Declared[] = WAYS.flatMap(({ id, what, interrupt, ...asked }) =>
  rowsOf({ protocol: 'ietf', after: ['ietf-append-part'] }, [
    {
      id: `ietf-cut-${id}-kept`,
      asks: asked.kept,
      requirement: `Of the bytes of ${what} that breaks off, as much as possible is kept.`,
      async check(peer) {
        const { url } = await interrupt(peer)
        const isKept = await eventually(async () => (await offsetOf(peer, url)) > 0)
        expectThat(
          isKept,
          `${LONG / 2} bytes were sent before the connection broke, and none of them is kept`,
        )
      },
    },
    {
      id: `ietf-cut-${id}-incomplete`,
      asks: asked.notComplete,
      requirement: `An upload is not complete, and has no more bytes than were sent, when ${what} breaks off.`,
      async check(peer) {
        const { url } = await interrupt(peer)
        const answer = await head(peer, url)
        expectSuccess(answer)
        expectComplete(answer, false)
        const offset = await offsetOf(peer, url)
        expectThat(offset <= LONG / 2, `${LONG / 2} bytes were sent, ${offset} are said to be there`)
      },
    },
    {
      id: `ietf-cut-${id}-length`,
      asks: asked.lengthRecorded,
      requirement: `The length that Content-Length implied is known when ${what} breaks off.`,
      async check(peer) {
        const { url } = await interrupt(peer)
        await eventually(async () => (await head(peer, url)).headers.get('Upload-Length') !== undefined)
        expectInteger(await head(peer, url), 'Upload-Length', LONG)
      },
    },
    {
      id: `ietf-cut-${id}-resumed`,
      asks: { 6: V6.offsetAccepted, 8: V8.offsetAccepted },
      requirement: `When ${what} breaks off, the upload goes on where HEAD says it stands, to its end.`,
      async check(peer) {
        const upload = await interrupt(peer)
        const statuses: number[] = []
        // The server may hear of the break after HEAD, and then stands further on.
        const isResumed = await eventually(async () => {
          const from = await offsetOf(peer, upload.url)
          const answer = await append(peer, upload, { from, isComplete: true })
          statuses.push(answer.status)
          return isSuccess(answer)
        }, 15_000)
        expectThat(isResumed, `what was sent where HEAD said got ${statuses.join(', ')}`)
        const answer = await head(peer, upload.url)
        if (!isSuccess(answer)) return
        expectInteger(answer, 'Upload-Offset', LONG)
        expectComplete(answer, true)
      },
    },
  ]),
)
