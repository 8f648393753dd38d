import { UploadPartCommand } from '@aws-sdk/client-s3'
import { createPresignedPost } from '@aws-sdk/s3-presigned-post'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import { StorageUnavailable } from '../store/objects.ts'
import { withRetries } from './retry.ts'
import type { S3 } from './s3.ts'
import { translateS3Error } from './s3-errors.ts'

/** A part as the bucket has it. `etag` in quotes. */
export type ListedPart = { partNumber: number; size: number; etag: string }

/** What a browser sends with a form, before the file: the address, and the fields that say what is permitted. */
export type StorageForm = { url: string; fields: Record<string, string> }

const MAX_PARTS = 10_000

/**
 * A link by which anyone can store one part. With `size`, in bytes, the bucket takes no other `Content-Length`; without,
 * any that it takes for a part. A signature cannot say that a header is absent, so the holder can add
 * `x-amz-copy-source`: where a bucket takes that, the link reads what its credentials can (see `link-probe.ts`).
 */
export async function linkOfPart(
  s3: S3,
  part: { key: string; multipartId: string; partNumber: number; size: number | undefined },
  expiresInSeconds: number,
): Promise<string> {
  const { key: Key, multipartId: UploadId, partNumber: PartNumber, size } = part
  const command = new UploadPartCommand({
    Bucket: s3.bucket,
    Key,
    UploadId,
    PartNumber,
    ...(size === undefined ? {} : { ContentLength: size }),
  })
  return await getSignedUrl(s3.linkSigner, command, {
    expiresIn: expiresInSeconds,
    ...(size === undefined ? {} : { signableHeaders: new Set(['host', 'content-length']) }),
  }).catch(rethrow)
}

/**
 * A form by which anyone can store one object, again and again, of so many bytes. It cannot copy. The object belongs to
 * the user whose credentials sign: to ours, and not to the one of links, which could read it then.
 */
export async function formOf(
  s3: S3,
  object: { key: string; minBytes: number; maxBytes: number },
  expiresInSeconds: number,
): Promise<StorageForm> {
  return await createPresignedPost(s3.client, {
    Bucket: s3.bucket,
    Key: object.key,
    Conditions: [['content-length-range', object.minBytes, object.maxBytes]],
    Expires: expiresInSeconds,
  }).catch(rethrow)
}

/** All parts that the bucket has of a multipart upload, by number. Fails as the SDK does where there is none. */
export async function partsOf(
  s3: S3,
  key: string,
  multipartId: string,
  signal?: AbortSignal,
): Promise<ListedPart[]> {
  const parts: ListedPart[] = []
  let after: string | undefined
  do {
    const page = await withRetries(
      (abortSignal) =>
        s3.client.listParts(
          {
            Bucket: s3.bucket,
            Key: key,
            UploadId: multipartId,
            ...(after === undefined ? {} : { PartNumberMarker: after }),
          },
          { abortSignal },
        ),
      signal,
    )
    // A page of somebody else, read as a list, has nothing in it.
    if (page.UploadId !== multipartId) throw invalid('a list of other parts')
    for (const { PartNumber, Size, ETag } of page.Parts ?? []) {
      if (PartNumber === undefined || Size === undefined || ETag === undefined)
        throw invalid('a part without number, size or etag')
      if (PartNumber <= (parts.at(-1)?.partNumber ?? 0)) throw invalid('parts out of order')
      parts.push({ partNumber: PartNumber, size: Size, etag: inQuotes(ETag) })
    }
    const next = page.IsTruncated ? (page.NextPartNumberMarker ?? '') : undefined
    // A server that repeats itself would be asked for ever, and half a list is no list.
    if (next !== undefined && !(Number(next) > Number(after ?? 0))) throw invalid('a list without its rest')
    after = next
    if (after !== undefined && parts.length >= MAX_PARTS) throw invalid('more parts than there can be')
  } while (after !== undefined)
  return parts
}

/** As S3 writes it, whether or not a client has kept the quotes. */
export const inQuotes = (etag: string): string => (etag.startsWith('"') ? etag : `"${etag}"`)

const invalid = (what: string) => new StorageUnavailable({ cause: new Error(`S3 answered with ${what}`) })

function rethrow(error: unknown): never {
  throw translateS3Error(error)
}
