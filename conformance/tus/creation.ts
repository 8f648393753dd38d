import {
  expectHeader,
  expectNoHeader,
  expectRefusal,
  expectStatus,
  expectSuccess,
  expectThat,
  headerOf,
  isRefusal,
  isSuccess,
  skip,
  Unprepared,
} from '../kit/expectations.ts'
import { FILE, type Peer } from '../kit/peer.ts'
import { type Declared, rowsOf } from '../kit/row.ts'
import {
  create,
  creation,
  expectCreatable,
  expectCreated,
  head,
  METADATA,
  metadataOf,
  pairsOf,
} from './client.ts'
import { TUS } from './text.ts'

const MALFORMED_LENGTHS = ['-1', '1.5', 'many', '', '0x10', '1e3', '5, 6']

/** The length of the upload that a creation with this one makes; undefined where there is none. */
async function lengthAfter(peer: Peer, length: string): Promise<string | undefined> {
  const answer = await creation(peer, { headers: { 'Upload-Length': length } })
  const location = answer.headers.get('Location')
  if (!isSuccess(answer) || location === undefined) return undefined
  return (await head(peer, peer.locate(location))).headers.get('Upload-Length')
}

/** The metadata of the upload that a creation with such makes; undefined where there is none. */
async function metadataAfter(peer: Peer, sent: string | undefined): Promise<string | undefined> {
  const answer = await creation(peer, { headers: { 'Upload-Metadata': sent } })
  const location = answer.headers.get('Location')
  if (!isSuccess(answer) || location === undefined) return undefined
  return (await head(peer, peer.locate(location))).headers.get('Upload-Metadata')
}

const WELL_FORMED = /^[^ ,]+( [A-Za-z\d+/]*={0,2})?(, *[^ ,]+( [A-Za-z\d+/]*={0,2})?)*$/

function expectWellFormed(metadata: string | undefined): void {
  const isSo = metadata === undefined || WELL_FORMED.test(metadata)
  expectThat(isSo, `HEAD gives Upload-Metadata: "${metadata}"`)
}

/** Creates an upload with metadata as it is `sent`, which HEAD has to give back. */
async function expectKept(peer: Peer, metadata: string, sent: string | readonly string[] = metadata) {
  const { url } = await expectCreated(peer, { headers: { 'Upload-Metadata': sent } })
  const given = headerOf(await head(peer, url), 'Upload-Metadata')
  expectThat(pairsOf(given) === pairsOf(metadata), `metadata was "${metadata}", HEAD gives "${given}"`)
}

/** Metadata of several keys, in no order that sorting would give. */
const MANY = `${METADATA},${metadataOf({ title: 'Über den Wolken', note: 'a, b; c' })}`

export const creationRows: readonly Declared[] = rowsOf({ protocol: 'tus', needs: ['creation'] }, [
  {
    id: 'tus-creation-status',
    asks: TUS.created,
    requirement: 'A creation succeeds with 201.',
    check: async (peer) => expectStatus(await creation(peer), 201),
  },
  {
    id: 'tus-creation-location',
    asks: TUS.location,
    requirement: 'The answer to a creation leads to the upload with Location, which may be relative.',
    async check(peer) {
      const created = await creation(peer)
      if (!isSuccess(created)) {
        throw new Unprepared('tus-creation-status', `no upload could be created: ${created.status}`)
      }
      const location = headerOf(created, 'Location')
      expectThat(URL.canParse(location, peer.target.endpoint), `Location is "${location}"`)
    },
  },
  {
    id: 'tus-creation-new-each-time',
    asks: TUS.location,
    requirement: 'Each creation makes an upload of its own.',
    async check(peer) {
      const [one, other] = [await create(peer), await create(peer)]
      expectThat(one.url.href !== other.url.href, `two creations have the same Location ${one.url}`)
    },
  },
  {
    id: 'tus-creation-no-length',
    asks: TUS.noLength,
    requirement: 'A creation with neither Upload-Length nor Upload-Defer-Length is refused.',
    async check(peer) {
      await expectCreatable(peer)
      expectRefusal(await creation(peer, { headers: { 'Upload-Length': undefined } }))
    },
  },
  {
    id: 'tus-creation-malformed-length',
    asks: TUS.lengthIsAnInteger,
    requirement: 'No upload has an Upload-Length that is no whole number, whatever a creation said.',
    async check(peer) {
      await expectCreatable(peer)
      for (const length of MALFORMED_LENGTHS) {
        const told = await lengthAfter(peer, length)
        const isOne = told === undefined || /^\d+$/.test(told)
        expectThat(isOne, `Upload-Length: ${length} became Upload-Length: ${told}`)
      }
    },
  },
  {
    id: 'tus-creation-malformed-length-refused',
    asks: TUS.malformedLength,
    requirement: 'A creation whose Upload-Length is no whole number is refused.',
    after: ['tus-creation-malformed-length'],
    async check(peer) {
      await expectCreatable(peer)
      for (const length of MALFORMED_LENGTHS) {
        const answer = await creation(peer, { headers: { 'Upload-Length': length } })
        expectThat(isRefusal(answer), `Upload-Length: ${length} got ${answer.status}`)
      }
    },
  },
  {
    id: 'tus-creation-malformed-defer',
    asks: TUS.deferValue,
    requirement: 'A creation whose Upload-Defer-Length is not 1 gets 400.',
    async check(peer) {
      await expectCreatable(peer)
      for (const value of ['0', '2', 'true', '']) {
        const headers = { 'Upload-Length': undefined, 'Upload-Defer-Length': value }
        expectStatus(await creation(peer, { headers }), 400)
      }
    },
  },
  {
    id: 'tus-creation-too-large',
    asks: TUS.tooLarge,
    requirement: 'A creation of more than the largest size gets 413.',
    needs: ['max-size'],
    async check(peer) {
      const max = peer.capabilities.maxSize ?? 0
      for (const length of [max + 1, Number.MAX_SAFE_INTEGER]) {
        expectStatus(await creation(peer, { length }), 413)
      }
    },
  },
  {
    id: 'tus-creation-empty',
    asks: TUS.emptyFile,
    requirement: 'An upload of length 0 is complete with its creation.',
    async check(peer) {
      const created = await creation(peer, { length: 0 })
      if (isRefusal(created)) skip(`the server takes no empty files: ${created.status}`)
      expectSuccess(created)
      const answer = await head(peer, peer.locate(headerOf(created, 'Location')))
      expectHeader(answer, 'Upload-Offset', '0')
      expectHeader(answer, 'Upload-Length', '0')
    },
  },
  {
    id: 'tus-creation-metadata',
    asks: TUS.metadataKept,
    requirement: 'HEAD gives the metadata back that was sent with the creation, in whatever order.',
    after: ['tus-creation-location', 'tus-head-offset-of-new'],
    check: async (peer) => await expectKept(peer, MANY),
  },
  {
    id: 'tus-creation-metadata-order',
    asks: TUS.metadataOrder,
    requirement: 'HEAD gives the metadata back in the order in which it was sent.',
    after: ['tus-creation-metadata'],
    async check(peer) {
      const { url } = await create(peer, { headers: { 'Upload-Metadata': MANY } })
      expectHeader(await head(peer, url), 'Upload-Metadata', MANY)
    },
  },
  {
    id: 'tus-creation-metadata-without-value',
    asks: TUS.metadataKept,
    requirement: 'A key of the metadata may come without a value and the space before it.',
    after: ['tus-creation-metadata'],
    check: async (peer) => await expectKept(peer, `${METADATA},is_confidential`),
  },
  {
    id: 'tus-creation-metadata-malformed',
    asks: TUS.metadataForm,
    requirement: 'Metadata that HEAD gives back is well-formed, whatever a creation said.',
    async check(peer) {
      await expectCreatable(peer)
      for (const sent of [`${METADATA},x not*base64`, `${METADATA},`, `${METADATA},a YQ== b`]) {
        expectWellFormed(await metadataAfter(peer, sent))
      }
    },
  },
  {
    id: 'tus-creation-metadata-none',
    asks: TUS.metadataForm,
    requirement: 'HEAD has no empty Upload-Metadata: an upload without metadata has no such header.',
    async check(peer) {
      await expectCreatable(peer)
      for (const sent of [undefined, '']) expectWellFormed(await metadataAfter(peer, sent))
    },
  },
  {
    id: 'tus-creation-metadata-empty',
    asks: TUS.metadataEmpty,
    requirement: 'A creation whose Upload-Metadata is empty succeeds as one without that header does.',
    after: ['tus-creation-location'],
    async check(peer) {
      const without = await creation(peer, { headers: { 'Upload-Metadata': undefined } })
      if (!isSuccess(without)) skip(`the server wants metadata: ${without.status}`)
      expectSuccess(await creation(peer, { headers: { 'Upload-Metadata': '' } }))
    },
  },
  {
    id: 'tus-creation-metadata-loose',
    asks: TUS.metadataLoose,
    requirement: 'Metadata may have blanks around commas, empty elements, and come in two lines.',
    after: ['tus-creation-location', 'tus-creation-metadata'],
    async check(peer) {
      const [first = '', second = ''] = METADATA.split(',')
      const ways = [`${first}, ${second}`, `${first} ,${second}`, `${METADATA},`, `,${first},,${second}`]
      for (const sent of [...ways, [first, second]]) await expectKept(peer, METADATA, sent)
    },
  },
  {
    id: 'tus-creation-metadata-smuggling',
    asks: TUS.metadataSanitized,
    requirement: 'Metadata never becomes headers of an answer.',
    async check(peer) {
      const filename = `${FILE.name}"\r\nX-Smuggled: 1\r\n\r\n`
      const sent = metadataOf({ filename, filetype: `${FILE.type}\r\nX-Smuggled: 1` })
      const created = await creation(peer, { headers: { 'Upload-Metadata': sent } })
      expectNoHeader(created, 'X-Smuggled')
      if (isRefusal(created)) return
      const url = peer.locate(headerOf(created, 'Location'))
      for (const method of ['HEAD', 'GET']) {
        const answer = await peer.send({ method, at: url, headers: { 'Tus-Resumable': '1.0.0' } })
        expectNoHeader(answer, 'X-Smuggled')
      }
    },
  },
])
