import { expectHeader, expectStatus, expectThat, headerOf } from '../kit/expectations.ts'
import type { Peer } from '../kit/peer.ts'
import { type Declared, rowsOf } from '../kit/row.ts'
import { TUS } from './text.ts'

const LIST_OF_NAMES = /^[^\s,]+([ \t]*,[ \t]*[^\s,]+)*$/

const options = (peer: Peer, headers = {}) => peer.send({ method: 'OPTIONS', headers })

export const optionsRows: readonly Declared[] = rowsOf({ protocol: 'tus' }, [
  {
    id: 'tus-options-status',
    asks: TUS.optionsVersion,
    requirement: 'OPTIONS succeeds with 204 or 200.',
    check: async (peer) => expectStatus(await options(peer), 204, 200),
  },
  {
    id: 'tus-options-version',
    asks: TUS.optionsVersion,
    requirement: 'The answer to OPTIONS lists the supported versions, separated by commas, in Tus-Version.',
    check: async (peer) =>
      expectHeader(await options(peer), 'Tus-Version', /^\d+\.\d+\.\d+( *, *\d+\.\d+\.\d+)*$/),
  },
  {
    id: 'tus-options-ignores-resumable',
    asks: TUS.optionsIgnores,
    requirement:
      'A Tus-Resumable header in an OPTIONS request is ignored, even one that names an unknown version.',
    async check(peer) {
      const plain = await options(peer)
      for (const version of ['1.0.0', '0.0.0', 'nonsense']) {
        const answer = await options(peer, { 'Tus-Resumable': version })
        expectStatus(answer, plain.status)
        expectHeader(answer, 'Tus-Version', headerOf(plain, 'Tus-Version'))
      }
    },
  },
  {
    id: 'tus-options-extension-list',
    asks: TUS.extensionList,
    requirement:
      'Tus-Extension is a list of names separated by commas, and is left out when it would be empty.',
    async check(peer) {
      const answer = await options(peer)
      if (answer.headers.get('Tus-Extension') !== undefined)
        expectHeader(answer, 'Tus-Extension', LIST_OF_NAMES)
    },
  },
  {
    id: 'tus-options-max-size',
    asks: TUS.maxSize,
    requirement: 'Tus-Max-Size is a whole number of bytes.',
    async check(peer) {
      const answer = await options(peer)
      if (answer.headers.get('Tus-Max-Size') !== undefined) expectHeader(answer, 'Tus-Max-Size', /^\d+$/)
    },
  },
  {
    id: 'tus-options-with-upload-without-creation',
    asks: TUS.withUploadDepends,
    requirement: 'Creation With Upload is offered only together with Creation.',
    async check(peer) {
      expectThat(
        !peer.offers('creation-with-upload') || peer.offers('creation'),
        'creation-with-upload is announced, creation is not',
      )
    },
  },
])
