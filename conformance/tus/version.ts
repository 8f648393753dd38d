import type { Answer } from '../kit/answer.ts'
import { expectHeader, expectNoHeader, expectStatus } from '../kit/expectations.ts'
import type { Peer } from '../kit/peer.ts'
import { type Row, rowsOf } from '../kit/row.ts'
import {
  append,
  create,
  createFilled,
  creation,
  expectOffset,
  head,
  SIZE,
  send,
  terminate,
} from './client.ts'

/** Kinds of answers, each of which has to say its version. */
const ANSWERS: readonly (readonly [id: string, what: string, ask: (peer: Peer) => Promise<Answer>])[] = [
  ['creation', 'a creation', async (peer) => (await create(peer)).created],
  ['head', 'HEAD', async (peer) => await head(peer, (await create(peer)).url)],
  ['patch', 'PATCH', async (peer) => (await createFilled(peer, 1000)).appended],
  ['bad-creation', 'a creation that is refused', async (peer) => await creationWithoutLength(peer)],
  [
    'conflict',
    'a PATCH that is refused',
    async (peer) => await append(peer, await create(peer), { from: 7 }),
  ],
  ['not-found', 'HEAD on what does not exist', async (peer) => await headOfNothing(peer)],
  [
    'unsupported',
    'a request of another version',
    async (peer) =>
      await send(peer, { method: 'HEAD', at: (await create(peer)).url, headers: OTHER_VERSION }),
  ],
  [
    'termination',
    'DELETE',
    async (peer) => {
      peer.needs('termination')
      return await terminate(peer, (await create(peer)).url)
    },
  ],
]

const OTHER_VERSION = { 'Tus-Resumable': '0.2.2' }

async function creationWithoutLength(peer: Peer): Promise<Answer> {
  peer.needs('creation')
  return await creation(peer, { headers: { 'Upload-Length': undefined } })
}

const headOfNothing = async (peer: Peer) => await head(peer, peer.unknownUrl((await create(peer)).url))

function expectUnsupported(answer: Answer): void {
  expectStatus(answer, 412)
  expectHeader(answer, 'Tus-Version', /(^|[ ,])1\.0\.0($|[ ,])/)
}

export const versionRows: readonly Row[] = rowsOf({ protocol: 'tus', section: 'Tus-Resumable' }, [
  ...ANSWERS.map(([id, what, ask]) => ({
    id: `tus-resumable-in-${id}`,
    level: 'MUST' as const,
    requirement: `The answer to ${what} says its version in Tus-Resumable.`,
    check: async (peer: Peer) => expectHeader(await ask(peer), 'Tus-Resumable', /^\d+\.\d+\.\d+$/),
  })),
  {
    id: 'tus-resumable-other-head',
    level: 'MUST',
    requirement: 'HEAD in a version that is not supported gets 412 with Tus-Version.',
    async check(peer) {
      const { url } = await create(peer)
      const answer = await send(peer, { method: 'HEAD', at: url, headers: OTHER_VERSION })
      expectUnsupported(answer)
      expectNoHeader(answer, 'Upload-Offset')
    },
  },
  {
    id: 'tus-resumable-other-creation',
    level: 'MUST',
    requirement:
      'A creation in a version that is not supported gets 412 with Tus-Version, and creates nothing.',
    needs: ['creation'],
    async check(peer) {
      const answer = await creation(peer, { headers: OTHER_VERSION })
      expectUnsupported(answer)
      expectNoHeader(answer, 'Location')
    },
  },
  {
    id: 'tus-resumable-other-patch',
    level: 'MUST',
    requirement: 'PATCH in a version that is not supported gets 412 with Tus-Version, and appends nothing.',
    async check(peer) {
      const upload = await create(peer)
      expectUnsupported(await append(peer, upload, { from: 0, to: SIZE / 2, headers: OTHER_VERSION }))
      await expectOffset(peer, upload, 0)
    },
  },
  {
    id: 'tus-resumable-other-termination',
    level: 'MUST',
    requirement: 'DELETE in a version that is not supported gets 412 with Tus-Version, and removes nothing.',
    needs: ['termination'],
    async check(peer) {
      const upload = await create(peer)
      expectUnsupported(await send(peer, { method: 'DELETE', at: upload.url, headers: OTHER_VERSION }))
      await expectOffset(peer, upload, 0)
    },
  },
  {
    id: 'tus-resumable-nonsense',
    level: 'MUST',
    requirement: 'A version that is none, or only begins like one that is supported, gets 412.',
    async check(peer) {
      const { url } = await create(peer)
      for (const version of ['1', '1.0', '1.0.0.0', '1.0.00', 'tus', '1.0.0, 0.2.2']) {
        expectStatus(
          await send(peer, { method: 'HEAD', at: url, headers: { 'Tus-Resumable': version } }),
          412,
        )
      }
    },
  },
])
