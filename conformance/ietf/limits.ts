import type { Answer } from '../kit/answer.ts'
import { expectSuccess, expectThat, headerOf, skip } from '../kit/expectations.ts'
import type { Peer } from '../kit/peer.ts'
import { type Declared, rowsOf } from '../kit/row.ts'
import { pause } from '../kit/waits.ts'
import { append, create, expectCompleted, head, limitsIn, SIZE } from './client.ts'
import { V6 } from './text-6.ts'
import { V8 } from './text-8.ts'

/** The remaining seconds, by the name of either version. */
const lifetimeOf = (answer: Answer) => {
  const limits = limitsOf(answer, 'HEAD')
  return limits.get('max-age') ?? limits.get('expires')
}

/** The limits in an answer; skips where it tells none, which is what other rows are about. */
function limitsOf(answer: Answer, what: string): ReadonlyMap<string, number> {
  if (answer.headers.get('Upload-Limit') === undefined) skip(`${what} tells no limits`)
  return limitsIn(answer)
}

const options = (peer: Peer) => peer.send({ method: 'OPTIONS' })

/** Two limits of one name; skips where one of them is not told. */
function pairOf(name: string, before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>) {
  const [one, other] = [before.get(name), after.get(name)]
  if (one === undefined || other === undefined) return undefined
  return { before: one, after: other }
}

export const limitRows: readonly Declared[] = rowsOf({ protocol: 'ietf' }, [
  {
    id: 'ietf-limit-options',
    asks: { 6: V6.options, 8: V8.options },
    requirement: 'OPTIONS on the URL that creates uploads tells the limits in Upload-Limit.',
    async check(peer) {
      const answer = await options(peer)
      expectSuccess(answer)
      headerOf(answer, 'Upload-Limit')
      limitsIn(answer)
    },
  },
  {
    id: 'ietf-limit-options-not-laxer',
    asks: { 6: V6.optionsNotLaxer, 8: V8.optionsNotLaxer },
    requirement: 'The limits of OPTIONS are not laxer than those of an upload that was created.',
    after: ['ietf-limit-options'],
    async check(peer) {
      const announced = limitsIn(await options(peer))
      const applied = limitsOf((await create(peer)).created, 'the answer to a creation')
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
    asks: { 8: V8.limitsStay },
    requirement: 'The limits of an upload do not become stricter while it goes on.',
    async check(peer) {
      const upload = await create(peer)
      const before = limitsOf(upload.created, 'the answer to a creation')
      expectSuccess(await append(peer, upload, { from: 0, to: 1000 }))
      const after = limitsOf(await head(peer, upload.url), 'HEAD')
      for (const [name, isStricter] of STRICTER) {
        const pair = pairOf(name, before, after)
        if (pair)
          expectThat(!isStricter(pair.before, pair.after), `${name} was ${pair.before}, is ${pair.after}`)
      }
    },
  },
  {
    id: 'ietf-limit-max-size-stays',
    asks: { 6: V6.maxSizeStays },
    requirement: 'The largest size of an upload does not change, nor whether there is one.',
    async check(peer) {
      const upload = await create(peer)
      const before = limitsOf(upload.created, 'the answer to a creation').get('max-size')
      expectSuccess(await append(peer, upload, { from: 0, to: 1000 }))
      const after = limitsOf(await head(peer, upload.url), 'HEAD').get('max-size')
      if (after === undefined) skip('HEAD tells no max-size')
      expectThat(before === after, `max-size was ${before}, is ${after}`)
    },
  },
  {
    id: 'ietf-limit-age-stays',
    asks: { 6: V6.lifetime, 8: V8.lifetime },
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
    asks: { 6: V6.minAppendSize, 8: V8.minAppendSize },
    requirement: 'The least size of an append does not apply to the one that completes the upload.',
    async check(peer) {
      const upload = await create(peer)
      const told = [upload.created, await options(peer)].find(
        ({ headers }) => headers.get('Upload-Limit') !== undefined,
      )
      const least = told && limitsIn(told).get('min-append-size')
      if (!least) skip('the server tells no least size of an append')
      const to = Math.min(SIZE, least - 1)
      const bytes = upload.bytes.subarray(0, to)
      expectCompleted(await append(peer, { ...upload, bytes }, { from: 0, isComplete: true }))
    },
  },
  {
    id: 'ietf-limit-options-ignores-version',
    asks: { 6: V6.options, 8: V8.options },
    requirement: 'OPTIONS tells the limits whether or not the request names an interop version.',
    after: ['ietf-limit-options'],
    async check(peer) {
      const headers = { 'Upload-Draft-Interop-Version': String(peer.interop) }
      const answer = await peer.send({ method: 'OPTIONS', headers })
      expectSuccess(answer)
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
