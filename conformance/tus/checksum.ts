import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { expectHeader, expectRefusal, expectStatus, expectThat } from '../kit/expectations.ts'
import { mediaBytes } from '../kit/peer.ts'
import { type Row, rowsOf } from '../kit/row.ts'
import {
  append,
  create,
  createFilled,
  creation,
  expectCreatable,
  expectOffset,
  head,
  SIZE,
} from './client.ts'

/** Large enough that nobody keeps it in memory until its checksum is known. */
const LONG = 3_000_000

function crc32Of(bytes: Uint8Array): Buffer {
  const value = Buffer.alloc(4)
  value.writeUInt32BE(crc32(bytes))
  return value
}

const hash = (name: string) => (bytes: Uint8Array) => createHash(name).update(bytes).digest()

/** Checksum algorithms by the names that servers in the field give them. */
const ALGORITHMS: Readonly<Record<string, (bytes: Uint8Array) => Buffer>> = {
  sha1: hash('sha1'),
  sha256: hash('sha256'),
  sha512: hash('sha512'),
  md5: hash('md5'),
  crc32: crc32Of,
}

/** Upload-Checksum of these bytes. */
export function checksumOf(bytes: Uint8Array, algorithm = 'sha1'): { 'Upload-Checksum': string } {
  const compute = ALGORITHMS[algorithm] ?? hash(algorithm)
  return { 'Upload-Checksum': `${algorithm} ${compute(bytes).toString('base64')}` }
}

/** The checksum of other bytes. */
const WRONG = checksumOf(Buffer.from('other bytes'))

export const checksumRows: readonly Row[] = rowsOf(
  { protocol: 'tus', section: 'Checksum', needs: ['creation', 'checksum'] },
  [
    {
      id: 'tus-checksum-algorithms',
      level: 'MUST',
      requirement: 'OPTIONS lists the algorithms in Tus-Checksum-Algorithm, in lower-case ASCII, by commas.',
      check: async (peer) =>
        expectHeader(
          await peer.send({ method: 'OPTIONS' }),
          'Tus-Checksum-Algorithm',
          /^[!-+\--@[-~]+(, *[!-+\--@[-~]+)*$/,
        ),
    },
    {
      id: 'tus-checksum-sha1-supported',
      level: 'MUST',
      requirement: 'The algorithms include sha1.',
      async check(peer) {
        const { checksums } = peer.capabilities
        expectThat(checksums.includes('sha1'), `the algorithms are ${checksums.join(', ')}`)
      },
    },
    ...Object.keys(ALGORITHMS).flatMap((algorithm) => [
      {
        id: `tus-checksum-${algorithm}-right`,
        level: 'MUST' as const,
        requirement: `PATCH with the right ${algorithm} checksum succeeds.`,
        needs: [`checksum ${algorithm}` as const],
        check: async (peer: Parameters<Row['check']>[0]) => {
          const upload = await create(peer)
          const headers = checksumOf(upload.bytes, algorithm)
          const answer = await append(peer, upload, { from: 0, headers })
          expectStatus(answer, 204)
          expectHeader(answer, 'Upload-Offset', String(SIZE))
        },
      },
      {
        id: `tus-checksum-${algorithm}-wrong`,
        level: 'MUST' as const,
        requirement: `PATCH with a wrong ${algorithm} checksum keeps nothing and leaves the offset where it is.`,
        needs: [`checksum ${algorithm}` as const],
        check: async (peer: Parameters<Row['check']>[0]) => {
          const upload = await create(peer)
          const headers = checksumOf(Buffer.from('other bytes'), algorithm)
          expectRefusal(await append(peer, upload, { from: 0, to: 1000, headers }))
          await expectOffset(peer, upload, 0)
        },
      },
    ]),
    {
      id: 'tus-checksum-mismatch-status',
      level: 'MAY',
      requirement: 'PATCH with a wrong checksum gets 460.',
      check: async (peer) =>
        expectStatus(await append(peer, await create(peer), { from: 0, to: 1000, headers: WRONG }), 460),
    },
    {
      id: 'tus-checksum-unknown-status',
      level: 'MAY',
      requirement: 'PATCH with an algorithm that is not supported gets 400.',
      async check(peer) {
        const headers = { 'Upload-Checksum': 'nonesuch YWJj' }
        expectStatus(await append(peer, await create(peer), { from: 0, to: 1000, headers }), 400)
      },
    },
    {
      id: 'tus-checksum-unknown-discarded',
      level: 'MUST',
      requirement: 'PATCH with an algorithm that is not supported keeps nothing.',
      async check(peer) {
        const upload = await create(peer)
        const headers = { 'Upload-Checksum': 'nonesuch YWJj' }
        expectRefusal(await append(peer, upload, { from: 0, to: 1000, headers }))
        await expectOffset(peer, upload, 0)
      },
    },
    {
      id: 'tus-checksum-malformed',
      level: 'MUST',
      requirement: 'PATCH with a checksum that cannot be read is not taken for verified: it keeps nothing.',
      async check(peer) {
        const upload = await create(peer)
        for (const checksum of ['', 'sha1', 'sha1 ', 'sha1 not*base64', 'sha1 YWJj', 'YWJj']) {
          const headers = { 'Upload-Checksum': checksum }
          expectRefusal(await append(peer, upload, { from: 0, to: 1000, headers }))
          await expectOffset(peer, upload, 0)
        }
      },
    },
    {
      id: 'tus-checksum-mismatch-later',
      level: 'MUST',
      requirement:
        'A wrong checksum takes nothing from what was there before, and the right bytes can follow.',
      async check(peer) {
        const upload = await createFilled(peer, 1000)
        expectRefusal(await append(peer, upload, { from: 1000, to: 2000, headers: WRONG }))
        await expectOffset(peer, upload, 1000)
        const headers = checksumOf(upload.bytes.subarray(1000))
        expectHeader(await append(peer, upload, { from: 1000, headers }), 'Upload-Offset', String(SIZE))
      },
    },
    {
      id: 'tus-checksum-mismatch-at-end',
      level: 'MUST',
      requirement: 'A wrong checksum on the last bytes does not complete the upload.',
      async check(peer) {
        const upload = await createFilled(peer, 1000)
        expectRefusal(await append(peer, upload, { from: 1000, headers: WRONG }))
        expectHeader(await head(peer, upload.url), 'Upload-Offset', '1000')
      },
    },
    {
      id: 'tus-checksum-mismatch-long',
      level: 'MUST',
      requirement: 'A wrong checksum discards a request of some MB in chunks as well, none of it being kept.',
      async check(peer) {
        const upload = await create(peer, { bytes: mediaBytes(LONG) })
        expectRefusal(await append(peer, upload, { from: 0, headers: WRONG, isChunked: true }))
        await expectOffset(peer, upload, 0)
        const headers = checksumOf(upload.bytes)
        expectHeader(
          await append(peer, upload, { from: 0, headers, isChunked: true }),
          'Upload-Offset',
          String(LONG),
        )
      },
    },
    {
      id: 'tus-checksum-of-nothing',
      level: 'MUST',
      requirement: 'PATCH without bytes may carry the checksum of nothing.',
      async check(peer) {
        const upload = await createFilled(peer, 1000)
        const headers = checksumOf(Buffer.alloc(0))
        expectStatus(await append(peer, upload, { from: 1000, to: 1000, headers }), 204)
      },
    },
    {
      id: 'tus-checksum-with-creation',
      level: 'SHOULD',
      requirement: 'A wrong checksum on a creation with bytes keeps none of them.',
      needs: ['creation-with-upload'],
      async check(peer) {
        await expectCreatable(peer)
        const answer = await creation(peer, { body: mediaBytes(SIZE), headers: WRONG })
        if (answer.status === 201) expectHeader(answer, 'Upload-Offset', '0')
        else expectRefusal(answer)
      },
    },
  ],
)
