import {
  describeAnswer,
  expectHeader,
  expectNoHeader,
  expectStatus,
  headerOf,
  isSuccess,
  skip,
} from '../kit/expectations.ts'
import { mediaBytes } from '../kit/peer.ts'
import { type Declared, rowsOf } from '../kit/row.ts'
import { append, creation, head } from './client.ts'
import {
  concatenate,
  concatenation,
  concatOf,
  createPartials,
  expectConcatenated,
  fill,
  headOfFinal,
  PARTIAL,
  PIECE,
} from './concatenation-client.ts'
import { TUS } from './text.ts'

export const unfinishedRows: readonly Declared[] = rowsOf(
  {
    protocol: 'tus',
    needs: ['creation', 'concatenation', 'concatenation-unfinished'],
    after: ['tus-patch-appends'],
  },
  [
    {
      id: 'tus-unfinished-creation',
      asks: TUS.unfinished,
      requirement: 'A final upload may be created before its partial ones are complete.',
      check: async (peer) =>
        void (await expectConcatenated(peer, concatOf(await createPartials(peer, mediaBytes(2 * PIECE))))),
    },
    {
      id: 'tus-unfinished-head-offset',
      asks: TUS.finalBefore,
      requirement: 'HEAD on a final upload has no Upload-Offset before concatenation.',
      async check(peer) {
        const url = await concatenate(peer, concatOf(await createPartials(peer, mediaBytes(2 * PIECE))))
        expectNoHeader(await head(peer, url), 'Upload-Offset')
      },
    },
    {
      id: 'tus-unfinished-head-length',
      asks: TUS.finalLengthEarly,
      requirement:
        'HEAD on a final upload tells its length before concatenation, when all partial lengths are known.',
      after: ['tus-head-length'],
      async check(peer) {
        const url = await concatenate(peer, concatOf(await createPartials(peer, mediaBytes(2 * PIECE))))
        expectHeader(await head(peer, url), 'Upload-Length', String(2 * PIECE))
      },
    },
    {
      id: 'tus-unfinished-head-concat',
      asks: TUS.concatBack,
      requirement: 'HEAD on a final upload gives Upload-Concat back before concatenation, too.',
      after: ['tus-final-head-concat'],
      async check(peer) {
        const concat = concatOf(await createPartials(peer, mediaBytes(2 * PIECE)))
        expectHeader(await head(peer, await concatenate(peer, concat)), 'Upload-Concat', concat)
      },
    },
    {
      id: 'tus-unfinished-patch',
      asks: TUS.finalPatch,
      requirement:
        'PATCH on a final upload gets 403 before concatenation, and partial ones stay as they are.',
      after: ['tus-final-patch'],
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
      asks: TUS.finalAfter,
      requirement: 'A final upload is complete when its partial ones are, in whatever order they become so.',
      after: ['tus-final-head'],
      async check(peer) {
        const partials = await createPartials(peer, mediaBytes(3 * PIECE))
        const url = await concatenate(peer, concatOf(partials))
        await fill(peer, partials.toReversed())
        expectHeader(await headOfFinal(peer, url), 'Upload-Offset', String(3 * PIECE))
      },
    },
    {
      id: 'tus-unfinished-too-large',
      asks: TUS.tooLarge,
      requirement: 'A final upload of more than the largest size gets 413.',
      needs: ['max-size'],
      after: ['tus-creation-too-large'],
      async check(peer) {
        const length = peer.capabilities.maxSize ?? 0
        const paths: string[] = []
        for (let n = 0; n < 2; n++) {
          const created = await creation(peer, { length, headers: PARTIAL })
          if (!isSuccess(created))
            skip(`no two partial uploads of the largest size: ${describeAnswer(created)}`)
          paths.push(peer.locate(headerOf(created, 'Location')).pathname)
        }
        expectStatus(await concatenation(peer, `final;${paths.join(' ')}`), 413)
      },
    },
  ],
)
