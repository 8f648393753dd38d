import { servedAsBy } from '../../content/identification.ts'
import type { Ledger } from '../../ledger/database.ts'
import type { UploadId } from '../../ledger/ids.ts'
import { recordAssembly, recordPossibleStrays } from '../../ledger/stored-parts.ts'
import { BytesLost } from '../store/objects.ts'
import { type PlannedPart, planConcat, type SourceRange } from './concat-plan.ts'
import { minPartSizeFor } from './part-size.ts'
import type { S3 } from './s3.ts'
import { bodyOf, type S3Body } from './s3-body.ts'

/** A complete object of a partial upload. */
export type WholePartial = { key: string; size: number; etag: string }

const COPY_BYTES = 128 * 1024 ** 2
const HEAD_BYTES = 4100

/**
 * Joins several objects into one, in order, inside the bucket where their sizes allow. The ledger notes before that a
 * multipart upload may be open, so that one of a killed worker is found and aborted.
 */
export async function concatenate(
  s3: S3,
  db: Ledger,
  final: { id: UploadId; key: string; size: number },
  partials: readonly WholePartial[],
): Promise<void> {
  const sizes = partials.map(({ size }) => size)
  const plan = planConcat(sizes, Math.max(COPY_BYTES, 2 * minPartSizeFor(final.size)))
  const servedAs = await servedAsBy(await firstBytes(s3, partials))
  const [only] = plan
  if (!only || (plan.length === 1 && only.kind === 'join')) {
    await s3.put(final.key, await joined(s3, only ? only.ranges : [], partials), servedAs)
    return
  }
  await recordPossibleStrays(db, final.id)
  const { id: multipartId } = await s3.createMultipart(final.key, servedAs)
  await recordAssembly(db, final.id, multipartId)
  const parts = []
  for (const [index, part] of plan.entries()) {
    const partNumber = index + 1
    parts.push({
      partNumber,
      etag: await storePart(s3, { ...final, multipartId, partNumber }, part, partials),
    })
  }
  await s3.completeMultipart(final.key, multipartId, parts)
}

async function storePart(
  s3: S3,
  at: { key: string; multipartId: string; partNumber: number },
  part: PlannedPart,
  partials: readonly WholePartial[],
): Promise<string> {
  const { key, multipartId, partNumber } = at
  if (part.kind === 'join')
    return await s3.uploadPart(key, multipartId, partNumber, await joined(s3, part.ranges, partials))
  const { range } = part
  const { key: from, etag, size } = sourceOf(range, partials)
  const { start, end } = range
  // A part that is all of a source is copied without a range.
  const copied = start === 0 && end === size - 1 ? undefined : { start, end }
  return await s3.copyPart(key, multipartId, partNumber, { key: from, etag, range: copied })
}

/** Up to 5 MiB, or all of a small file. */
async function joined(
  s3: S3,
  ranges: readonly SourceRange[],
  partials: readonly WholePartial[],
): Promise<S3Body> {
  const chunks: Buffer[] = []
  for (const range of ranges) chunks.push(await read(s3, sourceOf(range, partials), range))
  return bodyOf(Buffer.concat(chunks))
}

async function firstBytes(s3: S3, partials: readonly WholePartial[]): Promise<Uint8Array> {
  const first = partials.find(({ size }) => size > 0)
  if (!first) return new Uint8Array()
  return await read(s3, first, { start: 0, end: Math.min(first.size, HEAD_BYTES) - 1 })
}

async function read(
  s3: S3,
  { key, etag }: WholePartial,
  { start, end }: { start: number; end: number },
): Promise<Buffer> {
  const { body } = await s3.open(key, { range: { start, end }, etag })
  const bytes = Buffer.concat(await body.toArray())
  if (bytes.length !== end - start + 1) throw new Error('the bucket gave less than was asked for')
  return bytes
}

function sourceOf(range: SourceRange, partials: readonly WholePartial[]): WholePartial {
  const partial = partials[range.source]
  if (!partial) throw new BytesLost('a partial upload is missing')
  return partial
}
