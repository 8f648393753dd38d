import {
  expectHeader,
  expectRefusal,
  expectStatus,
  expectSuccess,
  expectThat,
  headerOf,
  isRefusal,
  isSuccess,
  skip,
} from '../kit/expectations.ts'
import { mediaBytes, type Peer } from '../kit/peer.ts'
import { type Declared, rowsOf } from '../kit/row.ts'
import {
  append,
  creation,
  expectCreatable,
  expectCreated,
  expectOffset,
  head,
  METADATA,
  metadataOf,
  pairsOf,
  terminate,
} from './client.ts'
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

/** Two partial uploads with all their bytes, and the final one made of them. */
async function createFinal(peer: Peer) {
  const bytes = mediaBytes(2 * PIECE)
  const partials = await createPartials(peer, bytes)
  await fill(peer, partials)
  const concat = concatOf(partials)
  return { bytes, partials, concat, url: await concatenate(peer, concat) }
}

export const partialRows: readonly Declared[] = rowsOf(
  { protocol: 'tus', needs: ['creation', 'concatenation'], after: ['tus-patch-appends'] },
  [
    {
      id: 'tus-partial-creation',
      asks: TUS.partial,
      requirement: 'A partial upload is created and filled like any other.',
      after: ['tus-creation-location'],
      async check(peer) {
        const bytes = mediaBytes(PIECE)
        const upload = await expectCreated(peer, { bytes, headers: PARTIAL })
        expectSuccess(await append(peer, upload, { from: 0 }))
        await expectOffset(peer, upload, PIECE)
      },
    },
    {
      id: 'tus-partial-head',
      asks: TUS.concatBack,
      requirement: 'HEAD on a partial upload gives Upload-Concat: partial back.',
      async check(peer) {
        const partials = await createPartials(peer, mediaBytes(PIECE))
        for (const { url } of partials) {
          expectHeader(await head(peer, url), 'Upload-Concat', 'partial')
        }
      },
    },
    {
      id: 'tus-partial-head-offset',
      asks: TUS.partialOffset,
      requirement: 'HEAD on a partial upload tells its Upload-Offset.',
      after: ['tus-head-offset-of-new'],
      async check(peer) {
        for (const upload of await createPartials(peer, mediaBytes(PIECE)))
          await expectOffset(peer, upload, 0)
      },
    },
    {
      id: 'tus-partial-malformed',
      asks: TUS.concatMalformed,
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

export const finalRows: readonly Declared[] = rowsOf(
  { protocol: 'tus', needs: ['creation', 'concatenation'], after: ['tus-patch-appends'] },
  [
    {
      id: 'tus-final-creation',
      asks: TUS.finalValue,
      requirement: 'A final upload of complete partial ones is created, and has a Location.',
      async check(peer) {
        const partials = await createPartials(peer, mediaBytes(2 * PIECE))
        await fill(peer, partials)
        expectSuccess(await concatenation(peer, concatOf(partials)))
      },
    },
    {
      id: 'tus-final-head',
      asks: TUS.finalAfter,
      requirement:
        'After concatenation HEAD has Upload-Offset and Upload-Length, both the sum of the partial lengths.',
      after: ['tus-head-length'],
      async check(peer) {
        const answer = await headOfFinal(peer, (await createFinal(peer)).url)
        expectHeader(answer, 'Upload-Length', String(2 * PIECE))
        expectHeader(answer, 'Upload-Offset', String(2 * PIECE))
      },
    },
    {
      id: 'tus-final-head-concat',
      asks: TUS.concatBack,
      requirement: 'HEAD on a final upload gives Upload-Concat back as its creation had it.',
      async check(peer) {
        const { url, concat } = await createFinal(peer)
        expectHeader(await head(peer, url), 'Upload-Concat', concat)
      },
    },
    {
      id: 'tus-final-patch',
      asks: TUS.finalPatch,
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
      asks: TUS.finalOrder,
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
      asks: TUS.metadataKept,
      requirement: 'A final upload has the metadata of its own creation.',
      after: ['tus-creation-metadata'],
      async check(peer) {
        const metadata = headerOf(await headOfFinal(peer, (await createFinal(peer)).url), 'Upload-Metadata')
        const isKept = pairsOf(metadata) === pairsOf(METADATA)
        expectThat(isKept, `metadata was "${METADATA}", HEAD gives "${metadata}"`)
      },
    },
    {
      id: 'tus-final-metadata-of-partials',
      asks: TUS.finalMetadata,
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
      asks: TUS.finalUrls,
      requirement: `The URLs of partial uploads may be ${spelling}.`,
      check: async (peer: Peer) => {
        const partials = await createPartials(peer, mediaBytes(2 * PIECE))
        await fill(peer, partials)
        const url = await expectConcatenated(peer, concatOf(partials, spell))
        expectHeader(await headOfFinal(peer, url), 'Upload-Length', String(2 * PIECE))
      },
    })),
    {
      id: 'tus-final-same-twice',
      asks: TUS.finalTwice,
      requirement: 'A list that names the same partial upload twice is taken at its word, or refused.',
      async check(peer) {
        const partials = await createPartials(peer, mediaBytes(PIECE))
        await fill(peer, partials)
        const answer = await concatenation(peer, concatOf([...partials, ...partials]))
        if (isRefusal(answer)) return
        expectSuccess(answer)
        const url = peer.locate(headerOf(answer, 'Location'))
        expectHeader(await headOfFinal(peer, url), 'Upload-Length', String(2 * PIECE))
      },
    },
    {
      id: 'tus-final-used-twice',
      asks: TUS.finalTwice,
      requirement: 'A partial upload may become part of several final ones.',
      async check(peer) {
        const { concat, url } = await createFinal(peer)
        await headOfFinal(peer, url)
        const other = await expectConcatenated(peer, concat)
        expectHeader(await headOfFinal(peer, other), 'Upload-Length', String(2 * PIECE))
      },
    },
    {
      id: 'tus-final-of-unknown',
      asks: TUS.finalUnknown,
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
      asks: TUS.terminated,
      requirement: 'DELETE on a final upload gets 204.',
      needs: ['termination'],
      after: ['tus-termination-of-new'],
      async check(peer) {
        const { url } = await createFinal(peer)
        await headOfFinal(peer, url)
        expectStatus(await terminate(peer, url), 204)
      },
    },
  ],
)
