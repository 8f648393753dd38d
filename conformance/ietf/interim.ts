import type { Interim } from '../kit/answer.ts'
import { expectContinue } from '../kit/continue.ts'
import { expectHeader, expectNoHeader, expectThat, headerOf, isSuccess, skip } from '../kit/expectations.ts'
import { mediaBytes, type Peer } from '../kit/peer.ts'
import { type Declared, rowsOf } from '../kit/row.ts'
import type { Exchange, RequestHeaders } from '../kit/wire.ts'
import {
  appendHeaders,
  create,
  creation,
  creationHeaders,
  expectCompleted,
  expectCreatable,
  INTERIM_TIMEOUT_MS,
  integerIn,
  isAnnouncement,
  limitsIn,
  offsetOf,
  open,
  SIZE,
} from './client.ts'
import { V6 } from './text-6.ts'
import { V8 } from './text-8.ts'
import { HTTP } from './text-http.ts'

const PIECE = 1_000_000
const PIECES = 24
/** Between pieces, so that a server that tells progress by time has something to tell. */
const PAUSE_MS = 100

const resumption = (interim: readonly Interim[]) => interim.filter(({ status }) => status === 104)

/** A creation that brings everything; the first 104 of it, or none. */
async function announced(peer: Peer, headers: RequestHeaders = {}): Promise<readonly Interim[]> {
  const answer = await creation(peer, { isComplete: true, body: mediaBytes(SIZE), headers })
  expectCompleted(answer)
  return resumption(answer.interim)
}

/** The interim response that announces the upload resource; skips where the server sends none. */
async function announcement(peer: Peer): Promise<Interim> {
  const [first] = await announced(peer)
  return first ?? skip('the server sends no 104 (Upload Resumption Supported)')
}

/** Sends a long body slowly, until the server has told progress or all of it is sent. */
async function sendSlowly(exchange: Exchange): Promise<{ progress: readonly Interim[]; sent: number }> {
  const isProgress = ({ status, headers }: Interim) =>
    status === 104 && headers.get('Upload-Offset') !== undefined
  let sent = 0
  for (let piece = 0; piece < PIECES; piece++) {
    await exchange.send(mediaBytes(PIECE))
    sent += PIECE
    const told = await exchange.interimThat(isProgress, piece === PIECES - 1 ? INTERIM_TIMEOUT_MS : PAUSE_MS)
    if (told && integerIn(told, 'Upload-Offset') > 0) break
  }
  return { progress: exchange.interim.filter(isProgress), sent }
}

/** A creation of which no byte is sent, and the 104 that announces its resource, where one comes. */
async function openCreation(peer: Peer) {
  const headers = creationHeaders({ isComplete: true })
  const exchange = await open(peer, { method: 'POST', length: SIZE, headers })
  return { exchange, told: await exchange.interimThat(isAnnouncement, INTERIM_TIMEOUT_MS) }
}

async function openLongAppend(peer: Peer): Promise<{ url: URL; exchange: Exchange }> {
  const { maxSize = Number.POSITIVE_INFINITY } = peer.capabilities
  if (maxSize < PIECE * PIECES) skip('the largest size is too small to see progress')
  const { url } = await create(peer)
  const exchange = await open(peer, {
    method: 'PATCH',
    at: url,
    // A server that is told how much comes may well store all of it at once.
    isChunked: true,
    headers: appendHeaders({ from: 0 }),
  })
  return { url, exchange }
}

export const interimRows: readonly Declared[] = rowsOf({ protocol: 'ietf' }, [
  {
    id: 'ietf-104-sent',
    asks: { 6: V6.announcing, 8: V8.announcing },
    requirement: 'A creation is answered at once with a 104 that announces the upload resource.',
    async check(peer) {
      const { told } = await openCreation(peer)
      expectThat(told !== undefined, `no 104 within ${INTERIM_TIMEOUT_MS / 1000} s, no byte being sent`)
      peer.locate(headerOf(told, 'Location'))
    },
  },
  {
    id: 'ietf-104-location',
    asks: { 6: V6.firstLocation, 8: V8.announcement },
    requirement: 'The 104 that announces the upload resource leads to it with Location.',
    check: async (peer) => expectHeader(await announcement(peer), 'Location', /^\S+$/),
  },
  {
    id: 'ietf-104-location-once',
    asks: { 6: V6.laterLocation },
    requirement: 'Of several 104 responses the first alone has a Location.',
    async check(peer) {
      await announcement(peer)
      const [, ...later] = await announced(peer)
      for (const interim of later) expectNoHeader(interim, 'Location')
    },
  },
  {
    id: 'ietf-104-limits',
    asks: { 8: V8.announcement },
    requirement:
      'The 104 that announces the upload resource has the limits in Upload-Limit, if there are any.',
    needs: ['limits'],
    async check(peer) {
      const interim = await announcement(peer)
      limitsIn(interim)
    },
  },
  {
    id: 'ietf-104-same-location',
    asks: { 8: V8.sameLocation },
    requirement: 'All Location headers of the answers to a creation that is not complete are the same.',
    async check(peer) {
      const { created } = await create(peer, { body: mediaBytes(1000) })
      const locations = [...resumption(created.interim), created].flatMap(
        ({ headers }) => headers.get('Location') ?? [],
      )
      if (locations.length < 2) skip('the server sends no 104 (Upload Resumption Supported)')
      expectThat(new Set(locations).size === 1, `the answers lead to ${locations.join(' and to ')}`)
    },
  },
  {
    id: 'ietf-104-version',
    asks: { 6: V6.version, 8: V8.version },
    requirement: 'Each 104 says the interop version of the request in Upload-Draft-Interop-Version.',
    async check(peer) {
      await announcement(peer)
      for (const interim of await announced(peer)) {
        expectHeader(interim, 'Upload-Draft-Interop-Version', String(peer.interop))
      }
    },
  },
  {
    id: 'ietf-104-version-other',
    asks: { 6: V6.otherVersion, 8: V8.otherVersion },
    requirement: 'No 104 is sent when the interop version of the request is missing, unknown or no number.',
    async check(peer) {
      await expectCreatable(peer)
      for (const version of [undefined, '99', 'newest']) {
        const headers = { 'Upload-Draft-Interop-Version': version }
        const answer = await creation(peer, { isComplete: true, body: mediaBytes(SIZE), headers })
        const sent = resumption(answer.interim)
        expectThat(sent.length === 0, `${sent.length} interim responses 104 with version "${version}"`)
      }
    },
  },
  {
    id: 'ietf-104-continue',
    asks: { 6: HTTP.continue, 8: V8.continue },
    requirement: 'A 104 does not replace the 100 (Continue) that a client waits for.',
    async check(peer) {
      const exchange = await open(peer, {
        method: 'POST',
        length: SIZE,
        headers: creationHeaders({ isComplete: true, headers: { Expect: '100-continue' } }),
      })
      await expectContinue(exchange)
      const announced = exchange.interim.find(isAnnouncement)
      if (announced) peer.locate(headerOf(announced, 'Location'))
      await exchange.send(mediaBytes(SIZE))
      expectCompleted(await exchange.answer)
    },
  },
  {
    id: 'ietf-104-progress',
    asks: { 6: V6.appendInterim, 8: V8.appendInterim },
    requirement: 'While an append goes on its progress is told by 104 responses with Upload-Offset.',
    async check(peer) {
      const { exchange } = await openLongAppend(peer)
      const { progress, sent } = await sendSlowly(exchange)
      expectThat(progress.length > 0, `no progress was told while ${sent} bytes were sent`)
    },
  },
  {
    id: 'ietf-104-progress-true',
    asks: { 6: V6.offsetStays, 8: V8.offsetStays },
    requirement: 'Progress never tells more than was sent, goes back, or is taken back by a later HEAD.',
    async check(peer) {
      const { url, exchange } = await openLongAppend(peer)
      const { progress, sent } = await sendSlowly(exchange)
      if (progress.length === 0) skip('the server tells no progress')
      exchange.cut()
      const told = progress.map((interim) => integerIn(interim, 'Upload-Offset'))
      expectThat(
        told.every((offset, index) => offset <= sent && offset >= (told[index - 1] ?? 0)),
        `progress was ${told.join(', ')} while ${sent} bytes were sent`,
      )
      const [last = 0] = told.slice(-1)
      const offset = await offsetOf(peer, url)
      expectThat(offset >= last, `a 104 told ${last}, and then HEAD tells ${offset}`)
    },
  },
  {
    id: 'ietf-104-append-without-location',
    asks: { 6: V6.appendInterimLocation, 8: V8.appendInterimLocation },
    requirement: 'The 104 responses to an append have no Location.',
    async check(peer) {
      const { exchange } = await openLongAppend(peer)
      await sendSlowly(exchange)
      const sent = resumption(exchange.interim)
      if (sent.length === 0) skip('the server tells no progress')
      for (const interim of sent) expectNoHeader(interim, 'Location')
    },
  },
  {
    id: 'ietf-104-lost-answer',
    asks: { 6: V6.announcing, 8: V8.announcing },
    requirement: 'The resource that a 104 announced is there when the creation then breaks off.',
    async check(peer) {
      const { exchange, told } = await openCreation(peer)
      if (!told) skip('the server sends no 104 (Upload Resumption Supported)')
      const url = peer.locate(headerOf(told, 'Location'))
      exchange.cut()
      expectThat((await offsetOf(peer, url)) === 0, 'no byte was sent, and some are there')
    },
  },
  {
    id: 'ietf-104-none-for-others',
    asks: { 8: V8.refusedUnannounced },
    requirement: 'A creation that is refused has no upload resource announced.',
    needs: ['max-size'],
    async check(peer) {
      await expectCreatable(peer)
      const answer = await creation(peer, { length: (peer.capabilities.maxSize ?? 0) + 1 })
      expectThat(!isSuccess(answer), 'a creation beyond the largest size succeeds')
      expectThat(!answer.interim.some(isAnnouncement), 'it is refused, and a 104 led to an upload resource')
    },
  },
])
