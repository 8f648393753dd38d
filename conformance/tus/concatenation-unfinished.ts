import {
  describeAnswer,
  expectHeader,
  expectNoHeader,
  expectStatus,
  headerOf,
  skip,
} from '../kit/expectations.ts'
import { mediaBytes } from '../kit/peer.ts'
import { type Row, rowsOf } from '../kit/row.ts'
import { append, creation, head } from './client.ts'
import {
  concatenate,
  concatenation,
  concatOf,
  createPartials,
  fill,
  headOfFinal,
  PARTIAL,
  PIECE,
} from './concatenation-client.ts'

export const unfinishedRows: readonly Row[] = rowsOf(
  {
    protocol: 'tus',
    section: 'Concatenation (unfinished)',
    needs: ['creation', 'concatenation', 'concatenation-unfinished'],
  },
  [
    {
      id: 'tus-unfinished-creation',
      level: 'MUST',
      requirement: 'A final upload may be created before its partial ones are complete.',
      check: async (peer) =>
        void (await concatenate(peer, concatOf(await createPartials(peer, mediaBytes(2 * PIECE))))),
    },
    {
      id: 'tus-unfinished-head-offset',
      level: 'SHOULD',
      requirement: 'HEAD on a final upload has no Upload-Offset before concatenation.',
      async check(peer) {
        const url = await concatenate(peer, concatOf(await createPartials(peer, mediaBytes(2 * PIECE))))
        expectNoHeader(await head(peer, url), 'Upload-Offset')
      },
    },
    {
      id: 'tus-unfinished-head-length',
      level: 'MUST',
      requirement:
        'HEAD on a final upload tells its length before concatenation, when all partial lengths are known.',
      async check(peer) {
        const url = await concatenate(peer, concatOf(await createPartials(peer, mediaBytes(2 * PIECE))))
        expectHeader(await head(peer, url), 'Upload-Length', String(2 * PIECE))
      },
    },
    {
      id: 'tus-unfinished-head-concat',
      level: 'MUST',
      requirement: 'HEAD on a final upload gives Upload-Concat back before concatenation, too.',
      async check(peer) {
        const concat = concatOf(await createPartials(peer, mediaBytes(2 * PIECE)))
        expectHeader(await head(peer, await concatenate(peer, concat)), 'Upload-Concat', concat)
      },
    },
    {
      id: 'tus-unfinished-patch',
      level: 'MUST',
      requirement:
        'PATCH on a final upload gets 403 before concatenation, and partial ones stay as they are.',
      async check(peer) {
        const bytes = mediaBytes(2 * PIECE)
        const partials = await createPartials(peer, bytes)
        const url = await concatenate(peer, concatOf(partials))
        const answer = await append(peer, { url, bytes }, { from: 0 })
        expectStatus(answer, 403)
        for (const partial of partials) expectHeader(await head(peer, partial.url), 'Upload-Offset', '0')
      },
    },
    {
      id: 'tus-unfinished-finished',
      level: 'MUST',
      requirement: 'A final upload is complete when its partial ones are, in whatever order they become so.',
      async check(peer) {
        const partials = await createPartials(peer, mediaBytes(3 * PIECE))
        const url = await concatenate(peer, concatOf(partials))
        await fill(peer, partials.toReversed())
        expectHeader(await headOfFinal(peer, url), 'Upload-Offset', String(3 * PIECE))
      },
    },
    {
      id: 'tus-unfinished-too-large',
      level: 'MUST',
      requirement: 'A final upload of more than the largest size gets 413.',
      needs: ['max-size'],
      async check(peer) {
        const length = peer.capabilities.maxSize ?? 0
        const paths: string[] = []
        for (let n = 0; n < 2; n++) {
          const created = await creation(peer, { length, headers: PARTIAL })
          if (created.status !== 201)
            skip(`no two partial uploads of the largest size: ${describeAnswer(created)}`)
          paths.push(peer.locate(headerOf(created, 'Location')).pathname)
        }
        expectStatus(await concatenation(peer, `final;${paths.join(' ')}`), 413)
      },
    },
  ],
)
