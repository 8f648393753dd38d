import {
  expectHeader,
  expectRefusal,
  expectStatus,
  expectThat,
  headerOf,
  isSuccess,
  skip,
} from '../kit/expectations.ts'
import { mediaBytes, type Peer } from '../kit/peer.ts'
import { type Row, rowsOf } from '../kit/row.ts'
import { append, creation, expectCreatable, head, METADATA, metadataOf, terminate } from './client.ts'
import {
  concatenate,
  concatenation,
  concatOf,
  createPartials,
  fill,
  headOfFinal,
  PIECE,
} from './concatenation-client.ts'

/** Two partial uploads with all their bytes, and the final one made of them. */
async function createFinal(peer: Peer) {
  const bytes = mediaBytes(2 * PIECE)
  const partials = await createPartials(peer, bytes)
  await fill(peer, partials)
  const concat = concatOf(partials)
  return { bytes, partials, concat, url: await concatenate(peer, concat) }
}

export const partialRows: readonly Row[] = rowsOf(
  { protocol: 'tus', section: 'Concatenation', needs: ['creation', 'concatenation'] },
  [
    {
      id: 'tus-partial-creation',
      level: 'MUST',
      requirement: 'A partial upload is created and filled like any other.',
      check: async (peer) => await fill(peer, await createPartials(peer, mediaBytes(PIECE))),
    },
    {
      id: 'tus-partial-head',
      level: 'MUST',
      requirement:
        'HEAD on a partial upload has Upload-Concat: partial, its Upload-Offset and its Upload-Length.',
      async check(peer) {
        const partials = await createPartials(peer, mediaBytes(PIECE))
        for (const { url } of partials) {
          const answer = await head(peer, url)
          expectHeader(answer, 'Upload-Concat', 'partial')
          expectHeader(answer, 'Upload-Offset', '0')
          expectHeader(answer, 'Upload-Length', String(PIECE))
        }
      },
    },
    {
      id: 'tus-partial-malformed',
      level: 'SHOULD',
      requirement: 'A creation whose Upload-Concat is neither "partial" nor "final;…" is refused.',
      async check(peer) {
        await expectCreatable(peer)
        for (const concat of ['', 'half', 'final', 'final;']) {
          expectRefusal(await creation(peer, { headers: { 'Upload-Concat': concat } }))
        }
      },
    },
  ],
)

export const finalRows: readonly Row[] = rowsOf(
  { protocol: 'tus', section: 'Concatenation', needs: ['creation', 'concatenation'] },
  [
    {
      id: 'tus-final-creation',
      level: 'MUST',
      requirement: 'A final upload of complete partial ones is created with 201 and has a Location.',
      async check(peer) {
        const { url } = await createFinal(peer)
        expectStatus(await head(peer, url), 200, 204)
      },
    },
    {
      id: 'tus-final-head',
      level: 'MUST',
      requirement:
        'After concatenation HEAD has Upload-Offset and Upload-Length, both the sum of the partial lengths.',
      async check(peer) {
        const answer = await headOfFinal(peer, (await createFinal(peer)).url)
        expectHeader(answer, 'Upload-Length', String(2 * PIECE))
        expectHeader(answer, 'Upload-Offset', String(2 * PIECE))
      },
    },
    {
      id: 'tus-final-head-concat',
      level: 'MUST',
      requirement: 'HEAD on a final upload gives Upload-Concat back as its creation had it.',
      async check(peer) {
        const { url, concat } = await createFinal(peer)
        expectHeader(await head(peer, url), 'Upload-Concat', concat)
      },
    },
    {
      id: 'tus-final-patch',
      level: 'MUST',
      requirement: 'PATCH on a final upload gets 403 and changes nothing.',
      async check(peer) {
        const { url, bytes } = await createFinal(peer)
        await headOfFinal(peer, url)
        for (const from of [0, 2 * PIECE]) {
          const upload = { url, bytes: Buffer.concat([bytes, bytes]) }
          expectStatus(await append(peer, upload, { from, to: from + 100 }), 403)
        }
        expectHeader(await head(peer, url), 'Upload-Offset', String(2 * PIECE))
      },
    },
    {
      id: 'tus-final-order',
      level: 'MUST',
      requirement: 'The bytes of a final upload are those of the partial ones, in the order of the list.',
      async check(peer) {
        const { url, bytes } = await createFinal(peer)
        await headOfFinal(peer, url)
        const content = await peer.send({ method: 'GET', at: url })
        if (!isSuccess(content)) skip('the server does not give the bytes of an upload back by GET')
        expectThat(content.body.equals(bytes), 'the final upload has other bytes')
      },
    },
    {
      id: 'tus-final-metadata',
      level: 'MUST',
      requirement: 'A final upload has the metadata of its own creation.',
      async check(peer) {
        expectHeader(await headOfFinal(peer, (await createFinal(peer)).url), 'Upload-Metadata', METADATA)
      },
    },
    {
      id: 'tus-final-metadata-of-partials',
      level: 'MUST',
      requirement: 'The metadata of partial uploads does not become that of the final one.',
      async check(peer) {
        const sent = `${METADATA},${metadataOf({ piece: 'one' })}`
        const partials = await createPartials(peer, mediaBytes(PIECE), { 'Upload-Metadata': sent })
        await fill(peer, partials)
        const url = await concatenate(peer, concatOf(partials), { 'Upload-Metadata': METADATA })
        const metadata = (await headOfFinal(peer, url)).headers.get('Upload-Metadata')
        expectThat(!/(^|,) *piece( |,|$)/.test(metadata ?? ''), `the final upload has metadata "${metadata}"`)
      },
    },
    ...(
      [
        ['relative', (url: URL) => url.pathname],
        ['absolute', (url: URL) => url.href],
      ] as const
    ).map(([spelling, spell]) => ({
      id: `tus-final-urls-${spelling}`,
      level: 'MUST' as const,
      requirement: `The URLs of partial uploads may be ${spelling}.`,
      check: async (peer: Peer) => {
        const partials = await createPartials(peer, mediaBytes(2 * PIECE))
        await fill(peer, partials)
        const url = await concatenate(peer, concatOf(partials, spell))
        expectHeader(await headOfFinal(peer, url), 'Upload-Length', String(2 * PIECE))
      },
    })),
    {
      id: 'tus-final-same-twice',
      level: 'MAY',
      requirement: 'A list that names the same partial upload twice is taken at its word, or refused.',
      async check(peer) {
        const partials = await createPartials(peer, mediaBytes(PIECE))
        await fill(peer, partials)
        const answer = await concatenation(peer, concatOf([...partials, ...partials]))
        if (answer.status >= 400 && answer.status < 500) return
        expectStatus(answer, 201)
        const url = peer.locate(headerOf(answer, 'Location'))
        expectHeader(await headOfFinal(peer, url), 'Upload-Length', String(2 * PIECE))
      },
    },
    {
      id: 'tus-final-used-twice',
      level: 'MAY',
      requirement: 'A partial upload may become part of several final ones.',
      async check(peer) {
        const { concat, url } = await createFinal(peer)
        await headOfFinal(peer, url)
        const other = await concatenate(peer, concat)
        expectHeader(await headOfFinal(peer, other), 'Upload-Length', String(2 * PIECE))
      },
    },
    {
      id: 'tus-final-of-unknown',
      level: 'SHOULD',
      requirement: 'A final upload of something that does not exist is refused.',
      async check(peer) {
        const partials = await createPartials(peer, mediaBytes(PIECE))
        await fill(peer, partials)
        const missing = partials.map((partial) => ({ ...partial, url: peer.unknownUrl(partial.url) }))
        expectRefusal(await concatenation(peer, concatOf([...partials, ...missing])))
      },
    },
    {
      id: 'tus-final-termination',
      level: 'MUST',
      requirement: 'DELETE on a final upload gets 204.',
      needs: ['termination'],
      async check(peer) {
        const { url } = await createFinal(peer)
        await headOfFinal(peer, url)
        expectStatus(await terminate(peer, url), 204)
      },
    },
  ],
)
