import {
  expectHeader,
  expectNoHeader,
  expectRefusal,
  expectStatus,
  expectThat,
  headerOf,
  isRefusal,
  skip,
} from '../kit/expectations.ts'
import { FILE } from '../kit/peer.ts'
import { type Row, rowsOf } from '../kit/row.ts'
import {
  create,
  creation,
  expectCreatable,
  expectOffset,
  head,
  METADATA,
  metadataOf,
  SIZE,
} from './client.ts'

/** Pairs of a metadata header; a value that is empty may come without the space before it. */
const pairsOf = (header: string) =>
  header
    .split(',')
    .map((pair) => pair.trim())
    .sort()
    .join(',')

/** Metadata of several keys, in no order that sorting would give. */
const MANY = `${METADATA},${metadataOf({ title: 'Über den Wolken', note: 'a, b; c' })}`

export const creationRows: readonly Row[] = rowsOf(
  { protocol: 'tus', section: 'Creation', needs: ['creation'] },
  [
    {
      id: 'tus-creation-status',
      level: 'MUST',
      requirement: 'A creation succeeds with 201.',
      check: async (peer) => expectStatus(await creation(peer), 201),
    },
    {
      id: 'tus-creation-location',
      level: 'MUST',
      requirement: 'The answer to a creation leads to the upload with Location, which may be relative.',
      async check(peer) {
        const { url } = await create(peer)
        expectStatus(await head(peer, url), 200, 204)
      },
    },
    {
      id: 'tus-creation-new-each-time',
      level: 'MUST',
      requirement: 'Each creation makes an upload of its own.',
      async check(peer) {
        const [one, other] = [await create(peer), await create(peer)]
        expectThat(one.url.href !== other.url.href, `two creations have the same Location ${one.url}`)
      },
    },
    {
      id: 'tus-creation-offset',
      level: 'MUST',
      requirement: 'A new upload stands at offset 0.',
      check: async (peer) => await expectOffset(peer, await create(peer), 0),
    },
    {
      id: 'tus-creation-length',
      level: 'MUST',
      requirement: 'An upload has the length of its creation, and HEAD then has no Upload-Defer-Length.',
      async check(peer) {
        const answer = await head(peer, (await create(peer)).url)
        expectHeader(answer, 'Upload-Length', String(SIZE))
        expectNoHeader(answer, 'Upload-Defer-Length')
      },
    },
    {
      id: 'tus-creation-no-length',
      level: 'SHOULD',
      requirement: 'A creation with neither Upload-Length nor Upload-Defer-Length is refused.',
      async check(peer) {
        await expectCreatable(peer)
        expectRefusal(await creation(peer, { headers: { 'Upload-Length': undefined } }))
      },
    },
    {
      id: 'tus-creation-malformed-length',
      level: 'MUST',
      requirement: 'A creation whose Upload-Length is no whole number is refused.',
      async check(peer) {
        await expectCreatable(peer)
        for (const length of ['-1', '1.5', 'many', '', '0x10', '1e3', '5, 6']) {
          const answer = await creation(peer, { headers: { 'Upload-Length': length } })
          expectThat(isRefusal(answer), `Upload-Length: ${length} got ${answer.status}`)
        }
      },
    },
    {
      id: 'tus-creation-malformed-defer',
      level: 'SHOULD',
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
      level: 'MUST',
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
      level: 'MAY',
      requirement: 'An upload of length 0 is complete with its creation.',
      async check(peer) {
        const created = await creation(peer, { length: 0 })
        if (isRefusal(created)) skip(`the server takes no empty files: ${created.status}`)
        expectStatus(created, 201)
        const answer = await head(peer, peer.locate(headerOf(created, 'Location')))
        expectHeader(answer, 'Upload-Offset', '0')
        expectHeader(answer, 'Upload-Length', '0')
      },
    },
    {
      id: 'tus-creation-metadata',
      level: 'MUST',
      requirement: 'HEAD gives the metadata back that was sent with the creation.',
      async check(peer) {
        const { url } = await create(peer, { headers: { 'Upload-Metadata': MANY } })
        const given = headerOf(await head(peer, url), 'Upload-Metadata')
        expectThat(pairsOf(given) === pairsOf(MANY), `metadata was "${MANY}", HEAD gives "${given}"`)
      },
    },
    {
      // The standard says "its value as specified by the Client"; that the order is part of it is one reading.
      id: 'tus-creation-metadata-order',
      level: 'SHOULD',
      requirement: 'HEAD gives the metadata back in the order in which it was sent.',
      async check(peer) {
        const { url } = await create(peer, { headers: { 'Upload-Metadata': MANY } })
        expectHeader(await head(peer, url), 'Upload-Metadata', MANY)
      },
    },
    {
      id: 'tus-creation-metadata-without-value',
      level: 'MUST',
      requirement: 'A key of the metadata may come without a value and the space before it.',
      async check(peer) {
        const sent = `${METADATA},is_confidential`
        const { url } = await create(peer, { headers: { 'Upload-Metadata': sent } })
        const given = headerOf(await head(peer, url), 'Upload-Metadata')
        expectThat(pairsOf(given) === pairsOf(sent), `metadata was "${sent}", HEAD gives "${given}"`)
      },
    },
    {
      id: 'tus-creation-metadata-malformed',
      level: 'SHOULD',
      requirement: 'Metadata that is malformed is refused, or given back so that it is not.',
      async check(peer) {
        await expectCreatable(peer)
        for (const sent of [`${METADATA},x not*base64`, `${METADATA},`, `${METADATA},a YQ== b`]) {
          const answer = await creation(peer, { headers: { 'Upload-Metadata': sent } })
          if (isRefusal(answer)) continue
          expectStatus(answer, 201)
          const kept = await head(peer, peer.locate(headerOf(answer, 'Location')))
          expectHeader(
            kept,
            'Upload-Metadata',
            /^[^ ,]+( [A-Za-z\d+/]*={0,2})?(, *[^ ,]+( [A-Za-z\d+/]*={0,2})?)*$/,
          )
        }
      },
    },
    {
      id: 'tus-creation-metadata-smuggling',
      level: 'SHOULD',
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
  ],
)
