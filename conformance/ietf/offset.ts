import type { Answer } from '../kit/answer.ts'
import {
  expectHeader,
  expectNoHeader,
  expectRefusal,
  expectStatus,
  expectSuccess,
  expectThat,
  headerOf,
  isSuccess,
  skip,
} from '../kit/expectations.ts'
import type { Peer } from '../kit/peer.ts'
import { type Row, rowsOf } from '../kit/row.ts'
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
  SIZE,
  send,
} from './client.ts'

const METHODS = ['HEAD', 'GET'] as const

const retrieve = (peer: Peer, method: string, url: URL): Promise<Answer> => send(peer, { method, at: url })

/** The same is asked of both methods by interop 8; 6 knows HEAD alone. */
const rowsForEach = METHODS.flatMap((method) => {
  const id = method.toLowerCase()
  const interop = method === 'GET' ? ([8] as const) : undefined
  return [
    {
      id: `ietf-${id}-offset`,
      level: 'MUST' as const,
      requirement: `${method} tells where the upload stands in Upload-Offset.`,
      interop,
      check: async (peer: Peer) => {
        const upload = await create(peer)
        expectInteger(await retrieve(peer, method, upload.url), 'Upload-Offset', 0)
        expectSuccess(await append(peer, upload, { from: 0, to: 1000 }))
        const answer = await retrieve(peer, method, upload.url)
        expectSuccess(answer)
        expectInteger(answer, 'Upload-Offset', 1000)
      },
    },
    {
      id: `ietf-${id}-incomplete`,
      level: 'MUST' as const,
      requirement: `${method} says Upload-Complete: ?0 while the upload is not complete.`,
      interop,
      check: async (peer: Peer) =>
        expectComplete(await retrieve(peer, method, (await createFilled(peer, 1000)).url), false),
    },
    {
      id: `ietf-${id}-complete`,
      level: 'MUST' as const,
      requirement: `${method} says Upload-Complete: ?1 when the upload is complete, if its resource is still there.`,
      interop,
      check: async (peer: Peer) => {
        const answer = await retrieve(peer, method, (await createComplete(peer)).url)
        if (!isSuccess(answer)) skip(`the resource of a complete upload is gone: ${answer.status}`)
        expectComplete(answer, true)
        expectInteger(answer, 'Upload-Offset', SIZE)
      },
    },
    {
      id: `ietf-${id}-length`,
      level: 'MUST' as const,
      requirement: `${method} tells the length that the client gave in Upload-Length.`,
      interop,
      check: async (peer: Peer) => {
        const { url } = await create(peer, { length: SIZE })
        expectInteger(await retrieve(peer, method, url), 'Upload-Length', SIZE)
      },
    },
    {
      id: `ietf-${id}-limits`,
      level: 'MUST' as const,
      requirement: `${method} tells the limits in Upload-Limit.`,
      interop: [8] as const,
      check: async (peer: Peer) => void limitsIn(await retrieve(peer, method, (await create(peer)).url)),
    },
    {
      id: `ietf-${id}-no-store`,
      level: 'SHOULD' as const,
      requirement: `Nobody may cache the answer to ${method}: it has Cache-Control: no-store.`,
      interop,
      check: async (peer: Peer) =>
        expectHeader(
          await retrieve(peer, method, (await create(peer)).url),
          'Cache-Control',
          /(^|[ ,])no-store($|[ ,])/,
        ),
    },
    {
      id: `ietf-${id}-redirect`,
      level: 'SHOULD' as const,
      requirement: `${method} is not redirected with 301 or 302.`,
      interop,
      check: async (peer: Peer) => {
        const { status } = await retrieve(peer, method, (await create(peer)).url)
        expectThat(status !== 301 && status !== 302, `${method} got ${status}`)
      },
    },
  ]
})

export const offsetRows: readonly Row[] = rowsOf({ protocol: 'ietf', section: '4.3 Offset Retrieval' }, [
  ...rowsForEach,
  {
    id: 'ietf-head-status-6',
    level: 'MUST',
    requirement: 'HEAD succeeds with 204 or 200.',
    interop: [6],
    check: async (peer) => expectStatus(await head(peer, (await create(peer)).url), 204, 200),
  },
  {
    id: 'ietf-head-unknown-length',
    level: 'MUST',
    requirement: 'HEAD tells no length that the client has not given.',
    check: async (peer) => expectNoHeader(await head(peer, (await create(peer)).url), 'Upload-Length'),
  },
  {
    id: 'ietf-head-offset-accepted',
    level: 'MUST',
    requirement: 'An append at the offset that HEAD told is accepted.',
    async check(peer) {
      const upload = await createFilled(peer, 1000)
      const from = Number(headerOf(await head(peer, upload.url), 'Upload-Offset'))
      expectCompleted(await append(peer, upload, { from, isComplete: true }))
    },
  },
  {
    id: 'ietf-head-unknown',
    level: 'SHOULD',
    requirement: 'HEAD on what does not exist is refused and tells no offset.',
    interop: [8],
    async check(peer) {
      const answer = await head(peer, peer.unknownUrl((await create(peer)).url))
      expectRefusal(answer)
      expectNoHeader(answer, 'Upload-Offset')
    },
  },
  {
    id: 'ietf-head-unknown-6',
    level: 'MUST',
    requirement: 'HEAD on what does not exist gets 404.',
    interop: [6],
    check: async (peer) => expectStatus(await head(peer, peer.unknownUrl((await create(peer)).url)), 404),
  },
  ...(
    [
      ['Upload-Offset', '0'],
      ['Upload-Complete', '?0'],
      ['Upload-Length', String(SIZE)],
    ] as const
  ).map(([name, value]) => ({
    id: `ietf-head-with-${name.slice('Upload-'.length).toLowerCase()}-6`,
    level: 'MUST' as const,
    requirement: `HEAD with ${name} gets 400.`,
    interop: [6] as const,
    check: async (peer: Peer) => {
      const { url } = await create(peer, { length: SIZE })
      expectStatus(await head(peer, url, { [name]: value }), 400)
    },
  })),
])
