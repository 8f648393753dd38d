import type { Answer } from '../kit/answer.ts'
import { expectThat } from '../kit/expectations.ts'
import { mediaBytes, type Peer } from '../kit/peer.ts'
import { type Declared, rowsOf } from '../kit/row.ts'
import {
  append,
  create,
  creation,
  METADATA,
  metadataOf,
  SIZE,
  type Stored,
  send,
  terminate,
} from './client.ts'
import { ANNOUNCED } from './text.ts'

type Use = (peer: Peer) => Promise<boolean>

const isCreated = (answer: Answer) => answer.status === 201

/** What would be so only if the server had the extension. */
const SIGNS: readonly (readonly [extension: keyof typeof ANNOUNCED, sign: string, use: Use])[] = [
  [
    'creation',
    'creates uploads',
    async (peer) =>
      isCreated(
        await send(peer, {
          method: 'POST',
          headers: { 'Upload-Length': String(SIZE), 'Upload-Metadata': METADATA },
        }),
      ),
  ],
  [
    'creation-defer-length',
    'creates uploads of a length that is deferred',
    async (peer) => isCreated(await creation(peer, { length: null })),
  ],
  [
    'creation-with-upload',
    'takes bytes with a creation',
    async (peer) => {
      const answer = await creation(peer, { body: mediaBytes(SIZE) })
      return isCreated(answer) && answer.headers.get('Upload-Offset') === String(SIZE)
    },
  ],
  [
    'expiration',
    'says when uploads expire',
    async (peer) => (await create(peer)).created.headers.get('Upload-Expires') !== undefined,
  ],
  [
    'checksum',
    'answers a wrong checksum with 460',
    async (peer) => {
      const headers = { 'Upload-Checksum': `sha1 ${Buffer.alloc(20).toString('base64')}` }
      return (await append(peer, await create(peer), { from: 0, headers })).status === 460
    },
  ],
  [
    'termination',
    'removes uploads with 204',
    async (peer) => (await terminate(peer, (await create(peer)).url)).status === 204,
  ],
  [
    'concatenation',
    'creates an upload out of two',
    async (peer) => {
      const [one, other] = [await partial(peer), await partial(peer)]
      if (!one || !other) return false
      for (const upload of [one, other]) await append(peer, upload, { from: 0 })
      return isCreated(await concatenation(peer, `${one.url.pathname} ${other.url.pathname}`))
    },
  ],
  [
    'concatenation-unfinished',
    'creates an upload out of one that is not complete',
    async (peer) => {
      const upload = await partial(peer)
      return upload !== undefined && isCreated(await concatenation(peer, upload.url.pathname))
    },
  ],
]

/** A partial upload; undefined where the server makes none. */
async function partial(peer: Peer): Promise<Stored | undefined> {
  const created = await creation(peer, { headers: { 'Upload-Concat': 'partial' } })
  const location = created.headers.get('Location')
  if (!isCreated(created) || location === undefined) return undefined
  return { url: peer.locate(location), bytes: mediaBytes(SIZE) }
}

const concatenation = (peer: Peer, paths: string) =>
  creation(peer, {
    headers: {
      'Upload-Length': undefined,
      'Upload-Concat': `final;${paths}`,
      'Upload-Metadata': metadataOf({ filename: 'clip.mp4', filetype: 'video/mp4' }),
    },
  })

/** What a server does it also announces: clients look for it there. */
export const announcementRows: readonly Declared[] = SIGNS.flatMap(([extension, sign, use]) =>
  rowsOf({ protocol: 'tus' }, [
    {
      id: `tus-announces-${extension}`,
      asks: ANNOUNCED[extension],
      requirement: `A server that ${sign} announces ${extension} in Tus-Extension.`,
      after: extension === 'concatenation-unfinished' ? ['tus-announces-concatenation'] : [],
      async check(peer) {
        // What is announced is tried by other rows.
        if (peer.offers(extension)) return
        expectThat(!(await use(peer)), `the server ${sign}, and does not announce ${extension}`)
      },
    },
  ]),
)
