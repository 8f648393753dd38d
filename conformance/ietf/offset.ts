import type { Answer } from '../kit/answer.ts'
import { type Clause, ofSomeDrafts } from '../kit/clause.ts'
import {
  expectHeader,
  expectNoHeader,
  expectRefusal,
  expectStatus,
  expectSuccess,
  expectThat,
  isSuccess,
  skip,
} from '../kit/expectations.ts'
import type { Peer } from '../kit/peer.ts'
import { type Declared, rowsOf } from '../kit/row.ts'
import {
  append,
  create,
  createComplete,
  createFilled,
  expectComplete,
  expectCompleted,
  expectInteger,
  head,
  limitsIn,
  offsetOf,
  SIZE,
  send,
} from './client.ts'
import { V6 } from './text-6.ts'
import { V8 } from './text-8.ts'

const retrieve = (peer: Peer, method: string, url: URL): Promise<Answer> => send(peer, { method, at: url })

/** Draft-12 asks the same of GET as of HEAD; a server that knows no GET fails one row for it, not all. */
const forHead = (own: readonly string[]) => own
const forGet = (own: readonly string[]) => [
  'ietf-get-offset',
  ...own.map((id) => id.replace('-head-', '-get-')),
]

const rowsForEach = (['HEAD', 'GET'] as const).flatMap((method) => {
  const id = `ietf-${method.toLowerCase()}`
  const isGet = method === 'GET'
  const asked = (six: Clause | undefined, eight: Clause) =>
    isGet ? { 8: ofSomeDrafts(eight) } : { 6: six, 8: eight }
  const after = isGet ? forGet : forHead
  return [
    {
      id: `${id}-offset`,
      asks: asked(V6.headOffset, V8.headOffset),
      requirement: `${method} tells where the upload stands in Upload-Offset.`,
      check: async (peer: Peer) => {
        const answer = await retrieve(peer, method, (await create(peer)).url)
        expectSuccess(answer)
        expectInteger(answer, 'Upload-Offset', 0)
      },
    },
    {
      id: `${id}-offset-of-begun`,
      asks: asked(V6.headOffset, V8.headOffset),
      requirement: `${method} tells how many bytes an upload has that was begun.`,
      after: after(['ietf-append-part']),
      check: async (peer: Peer): Promise<void> => {
        const answer = await retrieve(peer, method, (await createFilled(peer, 1000)).url)
        expectInteger(answer, 'Upload-Offset', 1000)
      },
    },
    {
      id: `${id}-incomplete`,
      asks: asked(V6.headComplete, V8.headComplete),
      requirement: `${method} says Upload-Complete: ?0 while the upload is not complete.`,
      after: after(['ietf-head-offset']),
      check: async (peer: Peer): Promise<void> =>
        expectComplete(await retrieve(peer, method, (await createFilled(peer, 1000)).url), false),
    },
    {
      id: `${id}-complete`,
      asks: asked(V6.headComplete, V8.headComplete),
      requirement: `${method} says Upload-Complete: ?1 when the upload is complete, if its resource is still there.`,
      after: after(['ietf-head-incomplete']),
      check: async (peer: Peer) => {
        const answer = await retrieve(peer, method, (await createComplete(peer)).url)
        if (!isSuccess(answer)) skip(`the resource of a complete upload is gone: ${answer.status}`)
        expectComplete(answer, true)
        expectInteger(answer, 'Upload-Offset', SIZE)
      },
    },
    {
      id: `${id}-length`,
      asks: asked(V6.headLength, V8.headLength),
      requirement: `${method} tells the length that the client gave in Upload-Length.`,
      after: after(['ietf-head-offset']),
      check: async (peer: Peer) => {
        const { url } = await create(peer, { length: SIZE })
        expectInteger(await retrieve(peer, method, url), 'Upload-Length', SIZE)
      },
    },
    {
      id: `${id}-limits`,
      asks: asked(undefined, V8.headLimits),
      requirement: `${method} tells the limits in Upload-Limit, if there are any.`,
      needs: ['limits' as const],
      after: after(['ietf-head-offset']),
      check: async (peer: Peer): Promise<void> =>
        void limitsIn(await retrieve(peer, method, (await create(peer)).url)),
    },
    {
      id: `${id}-no-store`,
      asks: asked(V6.headNoStore, V8.headNoStore),
      requirement: `Nobody may cache the answer to ${method}: it has Cache-Control: no-store.`,
      after: after(['ietf-head-offset']),
      check: async (peer: Peer): Promise<void> =>
        expectHeader(
          await retrieve(peer, method, (await create(peer)).url),
          'Cache-Control',
          /(^|[ ,])no-store($|[ ,])/,
        ),
    },
    {
      id: `${id}-redirect`,
      asks: asked(V6.redirects, V8.headRedirect),
      requirement: `${method} is not redirected with 301 or 302.`,
      after: after(['ietf-head-offset']),
      check: async (peer: Peer) => {
        const { status } = await retrieve(peer, method, (await create(peer)).url)
        expectThat(status !== 301 && status !== 302, `${method} got ${status}`)
      },
    },
  ]
})

/** Headers that HTTP itself has in answers, and those that the draft gives to answers of other requests. */
const ORDINARY = /^(date|connection|keep-alive|content-|transfer-encoding|vary|server|location|repr-digest)/

export const offsetRows: readonly Declared[] = rowsOf({ protocol: 'ietf' }, [
  ...rowsForEach,
  {
    id: 'ietf-head-status',
    asks: { 6: V6.headStatus },
    requirement: 'HEAD succeeds with 204 or 200.',
    after: ['ietf-head-offset'],
    check: async (peer) => expectStatus(await head(peer, (await create(peer)).url), 204, 200),
  },
  {
    id: 'ietf-head-unknown-length',
    asks: { 8: V8.headUnknownLength },
    requirement: 'HEAD tells no length that the client has not given.',
    check: async (peer) => expectNoHeader(await head(peer, (await create(peer)).url), 'Upload-Length'),
  },
  {
    id: 'ietf-head-offset-accepted',
    asks: { 6: V6.offsetAccepted, 8: V8.offsetAccepted },
    requirement: 'An append at the offset that HEAD told is accepted.',
    after: ['ietf-append-part'],
    async check(peer) {
      const upload = await createFilled(peer, 1000)
      const from = await offsetOf(peer, upload.url)
      expectCompleted(await append(peer, upload, { from, isComplete: true }))
    },
  },
  {
    id: 'ietf-head-unknown',
    asks: { 6: V6.headUnknown, 8: V8.headUnknown },
    requirement: 'HEAD on what does not exist is refused and tells no offset; 6: it gets 404.',
    async check(peer) {
      const answer = await head(peer, peer.unknownUrl((await create(peer)).url))
      if (peer.interop === 6) expectStatus(answer, 404)
      expectRefusal(answer)
      expectNoHeader(answer, 'Upload-Offset')
    },
  },
  {
    id: 'ietf-head-with-fields',
    asks: { 6: V6.headWithFields },
    requirement: 'HEAD with Upload-Offset or Upload-Complete gets 400.',
    async check(peer) {
      const { url } = await create(peer)
      for (const headers of [{ 'Upload-Offset': '0' }, { 'Upload-Complete': '?0' }]) {
        expectStatus(await head(peer, url, headers), 400)
      }
    },
  },
  {
    id: 'ietf-head-with-length',
    asks: { 6: V6.headWithLength },
    requirement: 'HEAD with Upload-Length gets 400.',
    after: ['ietf-head-with-fields'],
    async check(peer) {
      const { url } = await create(peer, { length: SIZE })
      expectStatus(await head(peer, url, { 'Upload-Length': String(SIZE) }), 400)
    },
  },
  {
    id: 'ietf-get-without-version',
    asks: { 8: V8.headWithoutVersion },
    requirement: 'GET without an interop version tells the offset of an upload that is not complete.',
    after: ['ietf-get-offset'],
    async check(peer) {
      const { url } = await createFilled(peer, 1000)
      const answer = await peer.send({ method: 'GET', at: url })
      expectSuccess(answer)
      expectInteger(answer, 'Upload-Offset', 1000)
    },
  },
  {
    id: 'ietf-head-final-headers',
    asks: { 8: V8.headAfterLoss },
    requirement: 'What the final answer tells in headers HEAD tells too: that answer may have been lost.',
    async check(peer) {
      const { url, completed } = await createComplete(peer)
      const answer = await head(peer, url)
      if (!isSuccess(answer)) skip(`the resource of a complete upload is gone: ${answer.status}`)
      const lost = completed.headers.names.filter(
        (name) => !ORDINARY.test(name) && answer.headers.get(name) === undefined,
      )
      expectThat(lost.length === 0, `HEAD lacks ${lost.join(', ')}`)
    },
  },
])
