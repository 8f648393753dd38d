import type { Answer } from '../kit/answer.ts'
import { expectFailure, expectHeader, expectNoHeader, expectStatus } from '../kit/expectations.ts'
import type { Peer } from '../kit/peer.ts'
import { type Declared, rowsOf } from '../kit/row.ts'
import {
  append,
  create,
  createFilled,
  creation,
  expectCreatable,
  expectOffset,
  head,
  SIZE,
  send,
  terminate,
} from './client.ts'
import { TUS } from './text.ts'

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
    async (peer) => await creation(peer, { headers: OTHER_VERSION }),
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

/** Answers that are made in one place, where the header may well be missing from all of them. */
const AFTER: Readonly<Record<string, readonly string[]>> = {
  creation: [],
  head: ['tus-resumable-in-creation', 'tus-head-offset-of-new'],
  conflict: ['tus-resumable-in-bad-creation', 'tus-patch-appends'],
  'not-found': ['tus-resumable-in-bad-creation', 'tus-head-offset-of-new'],
  unsupported: ['tus-resumable-in-bad-creation'],
}

const OTHER_VERSION = { 'Tus-Resumable': '0.2.2' }

async function creationWithoutLength(peer: Peer): Promise<Answer> {
  await expectCreatable(peer)
  return await creation(peer, { headers: { 'Upload-Length': undefined } })
}

const headOfNothing = async (peer: Peer) => await head(peer, peer.unknownUrl((await create(peer)).url))

/** The three requests that would change something, in a version that no server of tus 1.0 need know. */
const OTHERS: readonly (readonly [what: string, ask: (peer: Peer) => Promise<Answer>])[] = [
  [
    'creation',
    async (peer) => {
      const answer = await creation(peer, { headers: OTHER_VERSION })
      expectNoHeader(answer, 'Location')
      return answer
    },
  ],
  [
    'PATCH',
    async (peer) => {
      const upload = await create(peer)
      const answer = await append(peer, upload, { from: 0, to: SIZE / 2, headers: OTHER_VERSION })
      await expectOffset(peer, upload, 0)
      return answer
    },
  ],
  [
    'DELETE',
    async (peer) => {
      const upload = await create(peer)
      const answer = await send(peer, { method: 'DELETE', at: upload.url, headers: OTHER_VERSION })
      await expectOffset(peer, upload, 0)
      return answer
    },
  ],
]

export const versionRows: readonly Declared[] = rowsOf({ protocol: 'tus' }, [
  ...ANSWERS.map(([id, what, ask]) => ({
    id: `tus-resumable-in-${id}`,
    asks: TUS.versionInEveryAnswer,
    requirement: `The answer to ${what} says its version in Tus-Resumable.`,
    after: AFTER[id] ?? ['tus-resumable-in-creation'],
    check: async (peer: Peer) => expectHeader(await ask(peer), 'Tus-Resumable', /^\d+\.\d+\.\d+$/),
  })),
  {
    id: 'tus-resumable-other',
    asks: TUS.otherVersion,
    requirement: 'Creation, PATCH and DELETE in a version that is not supported get 412 and change nothing.',
    needs: ['creation'],
    async check(peer) {
      for (const [what, ask] of OTHERS) {
        if (what === 'DELETE' && !peer.offers('termination')) continue
        expectStatus(await ask(peer), 412)
      }
    },
  },
  {
    id: 'tus-resumable-other-versions',
    asks: TUS.otherVersionTold,
    requirement: 'The 412 to a version that is not supported lists those that are, in Tus-Version.',
    needs: ['creation'],
    after: ['tus-resumable-other'],
    check: async (peer) =>
      expectHeader(
        await creation(peer, { headers: OTHER_VERSION }),
        'Tus-Version',
        /(^|[ ,])1\.0\.0($|[ ,])/,
      ),
  },
  {
    id: 'tus-resumable-other-head',
    asks: TUS.otherVersion,
    requirement: 'HEAD in a version that is not supported gets 412 and tells no offset.',
    after: ['tus-resumable-other'],
    async check(peer) {
      const { url } = await create(peer)
      const answer = await send(peer, { method: 'HEAD', at: url, headers: OTHER_VERSION })
      expectStatus(answer, 412)
      expectNoHeader(answer, 'Upload-Offset')
    },
  },
  {
    id: 'tus-resumable-nonsense',
    asks: TUS.otherVersion,
    requirement: 'A version that is none, or only begins like one that is supported, is not taken for it.',
    after: ['tus-resumable-other'],
    async check(peer) {
      const upload = await create(peer)
      for (const version of ['1', '1.0', '1.0.0.0', '1.0.00', 'tus', '1.0.0, 0.2.2']) {
        const headers = { 'Tus-Resumable': version }
        expectFailure(await append(peer, upload, { from: 0, to: SIZE / 2, headers }))
        await expectOffset(peer, upload, 0)
      }
    },
  },
])
