import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import {
  expectHeader,
  expectRefusal,
  expectStatus,
  expectSuccess,
  expectThat,
  isSuccess,
} from '../kit/expectations.ts'
import { mediaBytes, type Peer } from '../kit/peer.ts'
import { type Declared, rowsOf } from '../kit/row.ts'
import { append, create, createFilled, creation, expectCreatable, expectOffset, SIZE } from './client.ts'
import { TUS } from './text.ts'

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

/** Sends bytes with checksums that nobody can have verified. */
async function expectDiscarded(peer: Peer, checksums: readonly string[]): Promise<void> {
  const upload = await create(peer)
  for (const checksum of checksums) {
    await append(peer, upload, { from: 0, to: 1000, headers: { 'Upload-Checksum': checksum } })
    await expectOffset(peer, upload, 0)
  }
}

export const checksumRows: readonly Declared[] = rowsOf(
  { protocol: 'tus', needs: ['creation', 'checksum'] },
  [
    {
      id: 'tus-checksum-algorithms',
      asks: TUS.checksumList,
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
      asks: TUS.checksumSha1,
      requirement: 'The algorithms include sha1.',
      async check(peer) {
        const { checksums } = peer.capabilities
        expectThat(checksums.includes('sha1'), `the algorithms are ${checksums.join(', ')}`)
      },
    },
    ...Object.keys(ALGORITHMS).flatMap((algorithm) => [
      {
        id: `tus-checksum-${algorithm}-right`,
        asks: algorithm === 'crc32' ? TUS.checksumEncoding : TUS.checksumVerified,
        requirement: `PATCH with the right ${algorithm} checksum succeeds.`,
        needs: [`checksum ${algorithm}` as const],
        after: ['tus-patch-appends'],
        check: async (peer: Peer) => {
          const upload = await create(peer)
          const headers = checksumOf(upload.bytes, algorithm)
          expectSuccess(await append(peer, upload, { from: 0, headers }))
          await expectOffset(peer, upload, SIZE)
        },
      },
      {
        id: `tus-checksum-${algorithm}-wrong`,
        asks: TUS.checksumDiscards,
        requirement: `PATCH with a wrong ${algorithm} checksum keeps nothing and leaves the offset where it is.`,
        needs: [`checksum ${algorithm}` as const],
        after: [algorithm === 'sha1' ? 'tus-patch-appends' : 'tus-checksum-sha1-wrong'],
        check: async (peer: Peer) => {
          const upload = await create(peer)
          const headers = checksumOf(Buffer.from('other bytes'), algorithm)
          await append(peer, upload, { from: 0, to: 1000, headers })
          await expectOffset(peer, upload, 0)
        },
      },
    ]),
    {
      id: 'tus-checksum-mismatch-status',
      asks: TUS.checksumStatus,
      requirement: 'PATCH with a wrong checksum gets 460.',
      after: ['tus-checksum-sha1-wrong'],
      check: async (peer) =>
        expectStatus(await append(peer, await create(peer), { from: 0, to: 1000, headers: WRONG }), 460),
    },
    {
      id: 'tus-checksum-unknown-status',
      asks: TUS.checksumStatus,
      requirement: 'PATCH with an algorithm that is not supported gets 400.',
      after: ['tus-checksum-unknown-discarded'],
      async check(peer) {
        const headers = { 'Upload-Checksum': 'nonesuch YWJj' }
        expectStatus(await append(peer, await create(peer), { from: 0, to: 1000, headers }), 400)
      },
    },
    {
      id: 'tus-checksum-unknown-discarded',
      asks: TUS.checksumDiscards,
      requirement: 'PATCH with an algorithm that is not supported keeps nothing.',
      after: ['tus-patch-appends'],
      check: async (peer) => await expectDiscarded(peer, ['nonesuch YWJj', 'YWJj']),
    },
    {
      id: 'tus-checksum-unreadable',
      asks: TUS.checksumDiscards,
      requirement:
        'PATCH with a checksum that is too short, or no Base64, keeps nothing: it matches no bytes.',
      after: ['tus-checksum-sha1-wrong'],
      check: async (peer) => await expectDiscarded(peer, ['sha1 not*base64', 'sha1 YWJj']),
    },
    {
      id: 'tus-checksum-half',
      asks: TUS.checksumMalformed,
      requirement: 'PATCH with an Upload-Checksum that is empty or names an algorithm alone keeps nothing.',
      after: ['tus-checksum-unreadable'],
      check: async (peer) => await expectDiscarded(peer, ['', 'sha1', 'sha1 ']),
    },
    {
      id: 'tus-checksum-mismatch-later',
      asks: TUS.checksumDiscards,
      requirement:
        'A wrong checksum takes nothing from what was there before, and the right bytes can follow.',
      after: ['tus-checksum-sha1-wrong'],
      async check(peer) {
        const upload = await createFilled(peer, 1000)
        await append(peer, upload, { from: 1000, to: 2000, headers: WRONG })
        await expectOffset(peer, upload, 1000)
        const headers = checksumOf(upload.bytes.subarray(1000))
        expectSuccess(await append(peer, upload, { from: 1000, headers }))
        await expectOffset(peer, upload, SIZE)
      },
    },
    {
      id: 'tus-checksum-mismatch-at-end',
      asks: TUS.checksumDiscards,
      requirement: 'A wrong checksum on the last bytes does not complete the upload.',
      after: ['tus-checksum-sha1-wrong'],
      async check(peer) {
        const upload = await createFilled(peer, 1000)
        await append(peer, upload, { from: 1000, headers: WRONG })
        await expectOffset(peer, upload, 1000)
      },
    },
    {
      id: 'tus-checksum-mismatch-long',
      asks: TUS.checksumDiscards,
      requirement: 'A wrong checksum discards a request of some MB as well, none of it being kept.',
      after: ['tus-checksum-sha1-wrong'],
      async check(peer) {
        const upload = await create(peer, { bytes: mediaBytes(LONG) })
        await append(peer, upload, { from: 0, headers: WRONG })
        await expectOffset(peer, upload, 0)
        expectSuccess(await append(peer, upload, { from: 0, headers: checksumOf(upload.bytes) }))
        await expectOffset(peer, upload, LONG)
      },
    },
    {
      id: 'tus-checksum-of-nothing',
      asks: TUS.checksumVerified,
      requirement: 'PATCH without bytes may carry the checksum of nothing.',
      after: ['tus-patch-empty', 'tus-checksum-sha1-right'],
      async check(peer) {
        const upload = await createFilled(peer, 1000)
        const headers = checksumOf(Buffer.alloc(0))
        expectSuccess(await append(peer, upload, { from: 1000, to: 1000, headers }))
      },
    },
    {
      id: 'tus-checksum-with-creation',
      asks: TUS.checksumCreation,
      requirement: 'A wrong checksum on a creation with bytes keeps none of them.',
      needs: ['creation-with-upload'],
      after: ['tus-checksum-sha1-wrong'],
      async check(peer) {
        await expectCreatable(peer)
        const answer = await creation(peer, { body: mediaBytes(SIZE), headers: WRONG })
        if (isSuccess(answer)) expectHeader(answer, 'Upload-Offset', '0')
        else expectRefusal(answer)
      },
    },
  ],
)
