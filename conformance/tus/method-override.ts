import {
  describeAnswer,
  expectFailure,
  expectHeader,
  expectNoHeader,
  expectSuccess,
  expectThat,
  headerOf,
  isSuccess,
} from '../kit/expectations.ts'
import type { Peer } from '../kit/peer.ts'
import { type Declared, rowsOf } from '../kit/row.ts'
import { append, create, createFilled, creation, expectOffset, head, offsetOf, send } from './client.ts'
import { TUS } from './text.ts'

const as = (method: string) => ({ 'X-HTTP-Method-Override': method })

/** POST that means HEAD. It is read as an answer to HEAD: its Content-Length may be that of the upload. */
const headByPost = (peer: Peer, url: URL) =>
  send(peer, { method: 'POST', at: url, headers: as('HEAD'), answeredAs: 'HEAD' })

/** Whether a method that is not meant has its own effect, or the one that is meant has none. */
const ACTUAL: readonly (readonly [what: string, check: (peer: Peer) => Promise<boolean>])[] = [
  [
    'PUT with X-HTTP-Method-Override: PATCH appended nothing',
    async (peer) => {
      const upload = await create(peer)
      await append(peer, upload, { method: 'PUT', from: 0, to: 1000, headers: as('PATCH') })
      return (await offsetOf(peer, upload)) === 1000
    },
  ],
  [
    'PATCH with X-HTTP-Method-Override: HEAD appended bytes',
    async (peer) => {
      const upload = await createFilled(peer, 1000)
      await append(peer, upload, { from: 1000, to: 2000, headers: as('HEAD') })
      return (await offsetOf(peer, upload)) === 1000
    },
  ],
  [
    'DELETE with X-HTTP-Method-Override: HEAD removed the upload',
    async (peer) => {
      const { url } = await createFilled(peer, 1000)
      await send(peer, { method: 'DELETE', at: url, headers: as('HEAD'), answeredAs: 'HEAD' })
      return isSuccess(await head(peer, url))
    },
  ],
]

export const methodOverrideRows: readonly Declared[] = [
  ...rowsOf({ protocol: 'tus' }, [
    {
      id: 'tus-override-patch',
      asks: TUS.override,
      requirement: 'POST with X-HTTP-Method-Override: PATCH is a PATCH.',
      async check(peer) {
        const upload = await create(peer)
        const answer = await append(peer, upload, {
          method: 'POST',
          from: 0,
          to: 1000,
          headers: as('PATCH'),
        })
        expectSuccess(answer)
        expectHeader(answer, 'Upload-Offset', '1000')
      },
    },
  ]),
  // A server that does not know the header does not know it for any method.
  ...rowsOf({ protocol: 'tus', after: ['tus-override-patch'] }, [
    {
      id: 'tus-override-head',
      asks: TUS.override,
      requirement: 'POST with X-HTTP-Method-Override: HEAD is a HEAD.',
      async check(peer) {
        const answer = await headByPost(peer, (await createFilled(peer, 1000)).url)
        expectSuccess(answer)
        expectHeader(answer, 'Upload-Offset', '1000')
      },
    },
    {
      id: 'tus-override-head-body',
      asks: TUS.overrideFraming,
      requirement: 'The answer to a POST that is a HEAD promises no body that does not come.',
      after: ['tus-override-head'],
      async check(peer) {
        const answer = await headByPost(peer, (await createFilled(peer, 1000)).url)
        const length = answer.headers.get('Content-Length') ?? '0'
        const promised = `the ${answer.status} to the POST has Content-Length: ${length} and no body`
        expectThat(length === '0' || answer.status === 204, promised)
      },
    },
    {
      id: 'tus-override-delete',
      asks: TUS.override,
      requirement: 'POST with X-HTTP-Method-Override: DELETE is a DELETE.',
      needs: ['termination'],
      async check(peer) {
        const { url } = await create(peer)
        expectSuccess(await send(peer, { method: 'POST', at: url, headers: as('DELETE') }))
        expectFailure(await head(peer, url))
      },
    },
    {
      id: 'tus-override-options',
      asks: TUS.override,
      requirement: 'POST with X-HTTP-Method-Override: OPTIONS is an OPTIONS, and creates nothing.',
      after: ['tus-creation-location'],
      async check(peer) {
        const answer = await creation(peer, { headers: as('OPTIONS') })
        expectSuccess(answer)
        headerOf(answer, 'Tus-Version')
        expectNoHeader(answer, 'Location')
      },
    },
    {
      id: 'tus-override-post',
      asks: TUS.override,
      requirement: 'PUT with X-HTTP-Method-Override: POST is a POST, and creates an upload.',
      needs: ['creation'],
      after: ['tus-creation-location', 'tus-override-actual'],
      async check(peer) {
        const answer = await creation(peer, { method: 'PUT', headers: as('POST') })
        expectThat(isSuccess(answer), `expected an upload, got ${describeAnswer(answer)}`)
        expectSuccess(await head(peer, peer.locate(headerOf(answer, 'Location'))))
      },
    },
    {
      id: 'tus-override-actual',
      asks: TUS.actualMethodIgnored,
      requirement: 'The actual method of a request with X-HTTP-Method-Override is ignored, whichever it is.',
      async check(peer) {
        for (const [what, isSo] of ACTUAL) {
          if (what.startsWith('DELETE') && !peer.offers('termination')) continue
          expectThat(await isSo(peer), what)
        }
      },
    },
    {
      id: 'tus-override-version',
      asks: TUS.otherVersion,
      requirement: 'A request with X-HTTP-Method-Override is held to its version like any other.',
      after: ['tus-resumable-other'],
      async check(peer) {
        const upload = await create(peer)
        const headers = { ...as('PATCH'), 'Tus-Resumable': '0.2.2' }
        expectFailure(await append(peer, upload, { method: 'POST', from: 0, to: 1000, headers }))
        await expectOffset(peer, upload, 0)
      },
    },
  ]),
]
