import type { Answer } from '../kit/answer.ts'
import { expectStatus, expectSuccess, expectThat, headerOf, skip } from '../kit/expectations.ts'
import type { Peer } from '../kit/peer.ts'
import { type Row, rowsOf } from '../kit/row.ts'
import { pause } from '../kit/waits.ts'
import { append, create, expectCompleted, head, limitsIn, SIZE } from './client.ts'

/** The remaining seconds, by the name of either version. */
const lifetimeOf = (answer: Answer) => limitsIn(answer).get('max-age') ?? limitsIn(answer).get('expires')

const options = (peer: Peer) => peer.send({ method: 'OPTIONS' })

/** Two limits of one name; skips where one of them is not told. */
function pairOf(name: string, before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>) {
  const [one, other] = [before.get(name), after.get(name)]
  if (one === undefined || other === undefined) return undefined
  return { before: one, after: other }
}

export const limitRows: readonly Row[] = rowsOf({ protocol: 'ietf', section: '4.1.4 Limits' }, [
  {
    id: 'ietf-limit-options',
    level: 'MUST',
    requirement:
      'OPTIONS on the URL that creates uploads tells the limits in Upload-Limit, min-size=0 if none.',
    async check(peer) {
      const answer = await options(peer)
      expectSuccess(answer)
      expectThat(headerOf(answer, 'Upload-Limit').trim() !== '', 'Upload-Limit is empty')
      limitsIn(answer)
    },
  },
  {
    id: 'ietf-limit-options-not-laxer',
    level: 'SHOULD',
    requirement: 'The limits of OPTIONS are not laxer than those of an upload that was created.',
    async check(peer) {
      const announced = limitsIn(await options(peer))
      const applied = limitsIn((await create(peer)).created)
      for (const name of ['max-size', 'max-append-size']) {
        const pair = pairOf(name, announced, applied)
        if (pair) expectThat(pair.after >= pair.before, `${name} is ${pair.before}, then ${pair.after}`)
        expectThat(announced.has(name) || !applied.has(name), `OPTIONS does not tell ${name}`)
      }
      for (const name of ['min-size', 'min-append-size']) {
        const pair = pairOf(name, announced, applied)
        if (pair) expectThat(pair.after <= pair.before, `${name} is ${pair.before}, then ${pair.after}`)
      }
    },
  },
  {
    id: 'ietf-limit-stays',
    level: 'SHOULD',
    requirement: 'The limits of an upload do not become stricter while it goes on.',
    async check(peer) {
      const upload = await create(peer)
      const before = limitsIn(upload.created)
      expectSuccess(await append(peer, upload, { from: 0, to: 1000 }))
      const after = limitsIn(await head(peer, upload.url))
      for (const [name, isStricter] of STRICTER) {
        const pair = pairOf(name, before, after)
        if (pair)
          expectThat(!isStricter(pair.before, pair.after), `${name} was ${pair.before}, is ${pair.after}`)
      }
    },
  },
  {
    id: 'ietf-limit-max-size-stays-6',
    level: 'MUST',
    requirement: 'The largest size of an upload does not change, nor whether there is one.',
    interop: [6],
    async check(peer) {
      const upload = await create(peer)
      const before = limitsIn(upload.created).get('max-size')
      expectSuccess(await append(peer, upload, { from: 0, to: 1000 }))
      const answer = await head(peer, upload.url)
      if (answer.headers.get('Upload-Limit') === undefined) skip('HEAD tells no limits')
      const after = limitsIn(answer).get('max-size')
      if (after === undefined) skip('HEAD tells no max-size')
      expectThat(before === after, `max-size was ${before}, is ${after}`)
    },
  },
  {
    id: 'ietf-limit-age-stays',
    level: 'SHOULD',
    requirement: 'The end of the life of an upload does not come nearer than was told.',
    async check(peer) {
      const { url } = await create(peer)
      const [at, before] = [Date.now(), lifetimeOf(await head(peer, url))]
      if (before === undefined) skip('the server tells no end of the life of an upload')
      await pause(1500)
      const after = lifetimeOf(await head(peer, url)) ?? 0
      const [earlier, later] = [at / 1000 + before, Date.now() / 1000 + after]
      // Whole seconds, and the time of an answer.
      expectThat(later > earlier - 2, `the upload was to live ${before} s, and after 1.5 s ${after} s`)
    },
  },
  {
    id: 'ietf-limit-min-append-end',
    level: 'MUST',
    requirement: 'The least size of an append does not apply to the one that completes the upload.',
    async check(peer) {
      const least = limitsIn(await options(peer)).get('min-append-size')
      if (!least) skip('the server has no least size of an append')
      const upload = await create(peer)
      const to = Math.min(SIZE, least - 1)
      const bytes = upload.bytes.subarray(0, to)
      expectCompleted(await append(peer, { ...upload, bytes }, { from: 0, isComplete: true }))
    },
  },
  {
    id: 'ietf-limit-options-ignores-version',
    level: 'MUST',
    requirement: 'OPTIONS tells the limits whether or not the request names an interop version.',
    async check(peer) {
      const headers = { 'Upload-Draft-Interop-Version': String(peer.interop) }
      const answer = await peer.send({ method: 'OPTIONS', headers })
      expectStatus(answer, 200, 204)
      limitsIn(answer)
    },
  },
])

const STRICTER: readonly (readonly [name: string, isStricter: (before: number, after: number) => boolean])[] =
  [
    ['max-size', (before, after) => after < before],
    ['max-append-size', (before, after) => after < before],
    ['min-size', (before, after) => after > before],
    ['min-append-size', (before, after) => after > before],
  ]
