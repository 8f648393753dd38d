import { Readable } from 'node:stream'
import { GetObjectCommand, HeadObjectCommand, type S3 as S3Client } from '@aws-sdk/client-s3'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import type { ServedAs } from '../../content/served-as.ts'
import { inParallel } from '../../system/in-parallel.ts'
import {
  type ByteRange,
  type LinkOptions,
  ObjectMissing,
  type ReadOptions,
  StorageUnavailable,
} from '../store/objects.ts'
import { withRetries } from './retry.ts'
import { type S3Body, sending, signBodies } from './s3-body.ts'
import { createClient, type S3Options } from './s3-client.ts'
import { isGone, isMissing, lacksCall, translateMissing, translateS3Error } from './s3-errors.ts'

export type S3Part = { partNumber: number; etag: string }

/** Bytes `[start, end]` of an object; `end` is before `start` where there are none. */
export type S3Reply = { body: Readable; etag: string; start: number; end: number }

const MAX_SOCKETS = 256
/** For reads: each slow client holds one. */
const MAX_READING_SOCKETS = 1024
/** How long a link for ffmpeg or a browser is valid. */
const LINK_SECONDS = 15 * 60
const MAX_DELETED_AT_ONCE = 1000
/** Deletions in parallel, for servers without a call for many. */
const DELETED_SIDE_BY_SIDE = 8
/**
 * One bucket: the calls that Landfall makes, with timeouts and retries. Never lists objects. Failures are our errors
 * (`ObjectMissing`, `StorageFull`) or the SDK's own.
 */
export class S3 {
  readonly client: S3Client
  /** Signs links to parts, and makes no calls. */
  readonly linkSigner: S3Client
  /** Separate connections: slow reads do not delay uploads. */
  readonly #reader: S3Client
  readonly bucket: string
  readonly options: S3Options

  /** Makes no call yet. */
  constructor(options: S3Options) {
    this.bucket = options.bucket
    this.options = options
    this.client = createClient(options, MAX_SOCKETS)
    this.#reader = createClient(options, MAX_READING_SOCKETS)
    this.linkSigner = options.linkCredentials
      ? createClient({ ...options, credentials: options.linkCredentials }, 1)
      : this.client
    signBodies(this.client)
  }

  /**
   * Stores a whole object. `isConfirmed` is false after an earlier attempt, which may still arrive after the object was
   * removed again.
   */
  async put(
    key: string,
    body: S3Body,
    servedAs: ServedAs,
    signal?: AbortSignal,
  ): Promise<{ etag: string; isConfirmed: boolean }> {
    let attempts = 0
    const etag = await withRetries(async (whileTrying) => {
      attempts += 1
      const { ETag } = await sending(body, whileTrying, (Body, abortSignal) =>
        this.client.putObject(
          { Bucket: this.bucket, Key: key, Body, ContentLength: body.size, ...headersOf(servedAs) },
          { abortSignal },
        ),
      )
      return requireEtag(ETag)
    }, signal)
    return { etag, isConfirmed: attempts === 1 }
  }

  /**
   * Opens a multipart upload. `isConfirmed` is false when an earlier attempt may have opened another whose id did not
   * reach us.
   */
  async createMultipart(
    key: string,
    servedAs: ServedAs,
    signal?: AbortSignal,
  ): Promise<{ id: string; isConfirmed: boolean }> {
    let attempts = 0
    const { UploadId } = await withRetries(async (abortSignal) => {
      attempts += 1
      const created = await this.client.createMultipartUpload(
        { Bucket: this.bucket, Key: key, ...headersOf(servedAs) },
        { abortSignal },
      )
      if (!created.UploadId) throw new Error('S3 opened a multipart upload without an id')
      return created
    }, signal)
    return { id: UploadId ?? '', isConfirmed: attempts === 1 }
  }

  /** Stores one part. Returns its etag. */
  async uploadPart(
    key: string,
    multipartId: string,
    partNumber: number,
    body: S3Body,
    signal?: AbortSignal,
  ): Promise<string> {
    const part = { Bucket: this.bucket, Key: key, UploadId: multipartId, PartNumber: partNumber }
    return await withRetries(async (whileTrying) => {
      const { ETag } = await sending(body, whileTrying, (Body, abortSignal) =>
        this.client.uploadPart({ ...part, Body, ContentLength: body.size }, { abortSignal }),
      )
      return requireEtag(ETag)
    }, signal)
  }

  /** Copies bytes of another object into a part, inside the bucket. Returns the part's etag. */
  async copyPart(
    key: string,
    multipartId: string,
    partNumber: number,
    from: { key: string; etag: string; range: ByteRange | undefined },
    signal?: AbortSignal,
  ): Promise<string> {
    const part = { Bucket: this.bucket, Key: key, UploadId: multipartId, PartNumber: partNumber }
    const range = from.range && { CopySourceRange: `bytes=${from.range.start}-${from.range.end}` }
    return await withRetries(async (abortSignal) => {
      const copy = { ...part, ...this.#sourceOf(from), ...range }
      const { CopyPartResult } = await this.client.uploadPartCopy(copy, { abortSignal })
      return requireEtag(CopyPartResult?.ETag)
    }, signal)
  }

  #sourceOf({ key, etag }: { key: string; etag: string }) {
    const path = key.split('/').map(encodeURIComponent).join('/')
    return { CopySource: `${this.bucket}/${path}`, CopySourceIfMatch: etag }
  }

  /** Joins the parts into one object. A repetition after a success fails as if there were no such upload. */
  async completeMultipart(key: string, multipartId: string, parts: readonly S3Part[]): Promise<void> {
    const upload = { Bucket: this.bucket, Key: key, UploadId: multipartId }
    const Parts = parts.map(({ partNumber, etag }) => ({ PartNumber: partNumber, ETag: etag }))
    // Not repeated here: the object itself shows what a failure means.
    await this.client
      .completeMultipartUpload({ ...upload, MultipartUpload: { Parts } })
      .catch(rethrowTranslated)
  }

  /** Stores an object from parts, which `send` uploads or copies. Leaves no multipart upload where that fails. */
  async putInParts(
    key: string,
    servedAs: ServedAs,
    send: (multipartId: string) => Promise<readonly S3Part[]>,
  ): Promise<void> {
    // Left by an earlier attempt that was killed.
    await this.abortMultiparts(key)
    const { id } = await this.createMultipart(key, servedAs)
    try {
      await this.completeMultipart(key, id, await send(id))
    } catch (error) {
      await this.abortMultipart(key, id)
      throw error
    }
  }

  /** Whether a multipart upload is still open. */
  async isMultipartOpen(key: string, multipartId: string): Promise<boolean> {
    try {
      const upload = { Bucket: this.bucket, Key: key, UploadId: multipartId }
      await withRetries((abortSignal) => this.client.listParts({ ...upload, MaxParts: 1 }, { abortSignal }))
      return true
    } catch (error) {
      if (isGone(error)) return false
      throw error
    }
  }

  /** Aborts a multipart upload; a missing one is no error. */
  async abortMultipart(key: string, multipartId: string): Promise<void> {
    try {
      const upload = { Bucket: this.bucket, Key: key, UploadId: multipartId }
      await withRetries((abortSignal) => this.client.abortMultipartUpload(upload, { abortSignal }))
    } catch (error) {
      if (!isGone(error)) throw error
    }
  }

  /** Aborts all multipart uploads of this key, but for one. */
  async abortMultiparts(key: string, except?: string | null): Promise<void> {
    for (const id of await this.openMultiparts(key)) if (id !== except) await this.abortMultipart(key, id)
  }

  /** Open multipart uploads of exactly this key: S3 has no other way to find one whose id was lost. */
  async openMultiparts(key: string): Promise<string[]> {
    const { Uploads = [] } = await withRetries((abortSignal) =>
      this.client.listMultipartUploads({ Bucket: this.bucket, Prefix: key }, { abortSignal }),
    )
    return Uploads.flatMap(({ Key, UploadId }) => (Key === key && UploadId ? [UploadId] : []))
  }

  /**
   * Size in bytes and etag; undefined when the bucket itself says that there is no such object. The 404 of a HEAD has no
   * code, and may come from a proxy: it is confirmed by a GET. Fails with `StorageUnavailable` where it is not.
   */
  async head(key: string, signal?: AbortSignal): Promise<{ size: number; etag: string } | undefined> {
    const first = await this.#headOnce(key, signal)
    if (first || (await this.lacks(key, signal))) return first
    const again = await this.#headOnce(key, signal)
    if (again) return again
    throw new StorageUnavailable({ cause: new Error('S3 has an object by GET and not by HEAD') })
  }

  async #headOnce(key: string, signal?: AbortSignal): Promise<{ size: number; etag: string } | undefined> {
    try {
      return await withRetries(async (abortSignal) => {
        const object = { Bucket: this.bucket, Key: key }
        const { ContentLength, ETag } = await this.client.headObject(object, { abortSignal })
        return { size: ContentLength ?? 0, etag: requireEtag(ETag) }
      }, signal)
    } catch (error) {
      if (isMissing(error)) return undefined
      throw error
    }
  }

  /** Whether there is no such object, as the bucket itself says. Fails with `StorageUnavailable` where a proxy may say so. */
  async lacks(key: string, signal?: AbortSignal): Promise<boolean> {
    try {
      const { body } = await this.open(key, {}, signal)
      body.destroy()
      return false
    } catch (error) {
      if (error instanceof ObjectMissing) return true
      throw error
    }
  }

  /**
   * Opens one reply of the bucket; a broken connection is an error of its body. Fails with `ObjectMissing`, or another
   * error where the reply is not the requested range or object.
   */
  async open(key: string, { range, etag }: ReadOptions, signal?: AbortSignal): Promise<S3Reply> {
    const reply = await withRetries(async (abortSignal) => {
      const { Body, ETag, ContentLength, ContentRange } = await this.#reader.getObject(
        {
          Bucket: this.bucket,
          Key: key,
          ...(range ? { Range: `bytes=${range.start}-${range.end}` } : {}),
          ...(etag ? { IfMatch: etag } : {}),
        },
        { abortSignal },
      )
      if (!(Body instanceof Readable)) throw new Error('S3 answered without a body')
      try {
        const { start, end } = extentOf(ContentLength, ContentRange)
        if (start !== (range?.start ?? 0)) throw new Error('S3 answered with another range')
        return { body: Body, etag: requireEtag(ETag), start, end }
      } catch (error) {
        Body.destroy()
        throw error
      }
    }, signal).catch((error: unknown) => {
      throw translateMissing(error, key)
    })
    // If-Match was sent, but not every server and proxy supports it.
    if (etag && reply.etag !== etag) {
      reply.body.destroy()
      throw new ObjectMissing(key)
    }
    return reply
  }

  /**
   * Removes objects, a thousand per call; missing ones are no error. Fails when one could not be removed; others may be
   * removed then.
   */
  async remove(keys: readonly string[]): Promise<void> {
    const [first] = keys
    if (first === undefined) return
    if (keys.length === 1) return await this.#removeOne(first)
    for (let from = 0; from < keys.length; from += MAX_DELETED_AT_ONCE) {
      const batch = keys.slice(from, from + MAX_DELETED_AT_ONCE)
      if (!(await this.#removeBatch(batch)))
        await inParallel(batch, DELETED_SIDE_BY_SIDE, (key) => this.#removeOne(key))
    }
  }

  async #removeOne(Key: string): Promise<void> {
    await withRetries((abortSignal) =>
      this.client.deleteObject({ Bucket: this.bucket, Key }, { abortSignal }),
    )
  }

  /** Returns false, and removes nothing, where the server has no such call. */
  async #removeBatch(keys: readonly string[]): Promise<boolean> {
    const Objects = keys.map((Key) => ({ Key }))
    return await withRetries(async (abortSignal) => {
      try {
        const { Errors = [] } = await this.client.deleteObjects(
          { Bucket: this.bucket, Delete: { Objects, Quiet: true } },
          { abortSignal },
        )
        const failed = Errors.find(({ Code }) => Code !== 'NoSuchKey')
        if (failed) throw new Error(`S3 did not delete ${failed.Key}: ${failed.Code}`)
        return true
      } catch (error) {
        if (lacksCall(error)) return false
        throw error
      }
    })
  }

  /** Copies an object of at most 5 GiB by one call. */
  async copyWhole(
    from: { key: string; etag: string },
    to: string,
    servedAs: ServedAs,
    signal?: AbortSignal,
  ): Promise<void> {
    const copy = { Bucket: this.bucket, Key: to, ...this.#sourceOf(from), ...headersOf(servedAs) }
    await withRetries(
      (abortSignal) => this.client.copyObject({ ...copy, MetadataDirective: 'REPLACE' }, { abortSignal }),
      signal,
    )
  }

  /**
   * A link that lets anyone read one object for a quarter of an hour, or less. The method is part of the signature.
   */
  async link(
    key: string,
    servedAs?: ServedAs,
    { method = 'GET', seconds = LINK_SECONDS }: LinkOptions = {},
  ): Promise<string> {
    const input = {
      Bucket: this.bucket,
      Key: key,
      ResponseContentType: servedAs?.contentType,
      ResponseContentDisposition: servedAs?.disposition,
    }
    const expiresIn = Math.min(seconds, LINK_SECONDS)
    const command = method === 'HEAD' ? new HeadObjectCommand(input) : new GetObjectCommand(input)
    // Credentials may have to be fetched first.
    return await getSignedUrl(this.client, command, { expiresIn }).catch(rethrowTranslated)
  }

  /** Throws when the bucket cannot be reached with our credentials. */
  async checkReachable(): Promise<void> {
    await this.client.headBucket({ Bucket: this.bucket }).catch((error: unknown) => {
      throw new StorageUnavailable({ cause: error })
    })
  }

  close(): void {
    this.client.destroy()
    this.linkSigner.destroy()
    this.#reader.destroy()
  }
}

function headersOf({ contentType, disposition }: ServedAs) {
  return { ContentType: contentType, ContentDisposition: disposition }
}

/** The range of a reply, by the headers of RFC 9110 § 14.4 and § 8.6. */
function extentOf(length: number | undefined, range: string | undefined): { start: number; end: number } {
  if (length === undefined) throw new Error('S3 answered without a length')
  if (range === undefined) return { start: 0, end: length - 1 }
  const [, start, end] = /^bytes (\d+)-(\d+)\//.exec(range) ?? []
  if (start === undefined || end === undefined)
    throw new Error('S3 answered with a range that makes no sense')
  return { start: Number(start), end: Number(end) }
}

/**
 * Always in quotes, which some servers omit in some answers, so that equal etags compare equal. Fails where there is none,
 * in a call that is tried again: no S3 has answered.
 */
function requireEtag(etag: string | undefined): string {
  if (!etag) throw new Error('S3 answered without an etag')
  return etag.startsWith('"') ? etag : `"${etag}"`
}

function rethrowTranslated(error: unknown): never {
  throw translateS3Error(error)
}
