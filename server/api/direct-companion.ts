import type { Request } from 'express'
import type { z } from 'zod'
import type { UploadId } from '../../ledger/ids.ts'
import { mediaPath } from '../../storage/signed-path.ts'
import { notFound, Problem } from '../http/errors.ts'
import { readInput } from '../http/read-input.ts'
import { PART_NUMBER, UPLOAD_ID } from '../routes/param.ts'
import { route } from '../routes/route.ts'
import { json } from './answers.ts'
import {
  CompanionBatch,
  CompanionCompleted,
  CompanionCreated,
  CompanionForm,
  CompanionKey,
  CompanionLink,
  CompanionLinks,
  CompanionPartList,
  CompanionParts,
  CompanionPost,
  CompanionUpload,
} from './direct-schemas.ts'
import { type DirectUploadsServices, directCall } from './direct-uploads.ts'

// Direct uploads as @uppy/aws-s3 asks for them, of a server that it calls Companion. Its plugin tells neither the size of
// a file nor that of its parts.

const ACCESS = 'token-or-upload-ticket'
const MAX_BODY_BYTES = 2 * 1024 * 1024
/** As Uppy writes metadata into a query. */
const METADATA = /^metadata\[(.{1,255})\]$/s

const OF_UPLOAD = { params: { id: UPLOAD_ID }, query: CompanionKey } as const

export const directCompanionRoutes = [
  route('post', '/api/v1/direct-uploads/s3/multipart', ACCESS, {
    body: {
      types: ['application/json'],
      schema: CompanionUpload,
      read: { as: 'json', maxBytes: MAX_BODY_BYTES },
    },
    answers: { 200: json(CompanionCreated) },
    summary: 'Uppy: begins an upload in parts',
    async handle(call, { direct }: DirectUploadsServices) {
      const { filename, type, metadata = {} } = readInput(CompanionUpload, call.request.body ?? {})
      const texts = Object.entries(metadata).map(([name, value]) => [
        name,
        value === null ? null : String(value),
      ])
      const { id } = await direct.begin(directCall(call), {
        size: null,
        metadata: fileMetadata(Object.fromEntries(texts), filename, type),
      })
      call.response.json({ key: id, uploadId: id } satisfies z.output<typeof CompanionCreated>)
    },
  }),
  route('get', '/api/v1/direct-uploads/s3/params', ACCESS, {
    query: CompanionForm,
    isAct: true,
    moreParameters: METADATA,
    answers: { 200: json(CompanionPost) },
    summary: 'Uppy: begins an upload by one form, which the browser sends to the bucket',
    description: 'It is complete a few seconds after the bucket has the file.',
    async handle(call, { direct }: DirectUploadsServices) {
      const { filename, type } = call.query
      const { links, seconds, upload } = await direct.beginForm(directCall(call), {
        size: null,
        metadata: fileMetadata(metadataInQuery(call.request), filename, type),
      })
      call.response.set('Cache-Control', 'no-store').json({
        method: 'POST',
        ...links,
        expires: seconds,
        uploadId: upload.id,
      } satisfies z.output<typeof CompanionPost>)
    },
  }),
  route('get', '/api/v1/direct-uploads/s3/multipart/:id', ACCESS, {
    ...OF_UPLOAD,
    answers: { 200: json(CompanionPartList) },
    summary: 'Uppy: the parts that the bucket has',
    async handle(call, { direct }: DirectUploadsServices) {
      const id = ofKey(call)
      const parts = await direct.parts(directCall(call, id))
      call.response.json(
        parts.map(({ partNumber, size, etag }) => ({
          PartNumber: partNumber,
          Size: size,
          ETag: etag,
        })) satisfies z.output<typeof CompanionPartList>,
      )
    },
  }),
  route('delete', '/api/v1/direct-uploads/s3/multipart/:id', ACCESS, {
    ...OF_UPLOAD,
    answers: { 200: { description: 'Ended', types: ['application/json'] } },
    summary: 'Uppy: ends the upload',
    async handle(call, { direct }: DirectUploadsServices) {
      await direct.abort(directCall(call, ofKey(call)))
      call.response.json({})
    },
  }),
  route('post', '/api/v1/direct-uploads/s3/multipart/:id/complete', ACCESS, {
    ...OF_UPLOAD,
    body: {
      types: ['application/json'],
      schema: CompanionParts,
      read: { as: 'json', maxBytes: MAX_BODY_BYTES },
    },
    answers: { 200: json(CompanionCompleted) },
    summary: 'Uppy: completes the upload of these parts',
    async handle(call, { direct, addressesOf }: DirectUploadsServices) {
      const id = ofKey(call)
      const upload = await direct.complete(directCall(call, id), () => etagsIn(call.request.body))
      if (upload.media_id === null) throw notFound()
      call.response.json({
        location: addressesOf(call.request).location(mediaPath(upload.media_id)),
        key: id,
        mediaId: upload.media_id,
        uploadId: id,
      } satisfies z.output<typeof CompanionCompleted>)
    },
  }),
  route('get', '/api/v1/direct-uploads/s3/multipart/:id/batch', ACCESS, {
    params: { id: UPLOAD_ID },
    query: CompanionBatch,
    answers: { 200: json(CompanionLinks) },
    summary: 'Uppy 3: links to send parts to the bucket',
    async handle(call, { direct }: DirectUploadsServices) {
      const { partNumbers } = call.query
      const { links } = await direct.sign(directCall(call, ofKey(call)), () => {
        if (partNumbers === undefined) throw new Problem('invalid-request', 'partNumbers: is missing')
        return partNumbers.split(',').map(Number)
      })
      const presignedUrls = Object.fromEntries(links.map(({ partNumber, url }) => [partNumber, url]))
      call.response
        .set('Cache-Control', 'no-store')
        .json({ presignedUrls } satisfies z.output<typeof CompanionLinks>)
    },
  }),
  route('get', '/api/v1/direct-uploads/s3/multipart/:id/:part', ACCESS, {
    params: { id: UPLOAD_ID, part: PART_NUMBER },
    query: CompanionKey,
    answers: { 200: json(CompanionLink) },
    summary: 'Uppy: a link to send a part to the bucket, by PUT',
    async handle(call, { direct }: DirectUploadsServices) {
      const { links, seconds } = await direct.sign(directCall(call, ofKey(call)), () => [call.params.part])
      const [link] = links
      if (!link) throw new Error('no link was made')
      call.response
        .set('Cache-Control', 'no-store')
        .json({ url: link.url, expires: seconds } satisfies z.output<typeof CompanionLink>)
    },
  }),
]

/** The upload, which Uppy names twice. */
function ofKey({
  params,
  query,
}: {
  params: { id: UploadId }
  query: { key?: string | undefined }
}): UploadId {
  if (query.key !== undefined && query.key !== params.id) throw notFound()
  return params.id
}

/** The etags of the parts that Uppy has sent, by number. */
function etagsIn(body: unknown): ReadonlyMap<number, string> {
  const { parts } = readInput(CompanionParts, body ?? {})
  const etags = new Map(parts.map(({ PartNumber, ETag }) => [PartNumber, ETag]))
  if (etags.size !== parts.length) throw new Problem('invalid-request', 'parts: names a part twice')
  return etags
}

/** As tus clients send it. */
const fileMetadata = (
  metadata: Record<string, string | null>,
  filename: string | undefined,
  type: string | undefined,
): Record<string, string | null> => ({
  ...metadata,
  ...(filename === undefined ? {} : { filename }),
  ...(type === undefined ? {} : { filetype: type }),
})

function metadataInQuery({ query }: Request): Record<string, string> {
  const metadata: [string, string][] = []
  for (const [parameter, value] of Object.entries(query)) {
    const name = METADATA.exec(parameter)?.[1]
    if (name === undefined) continue
    if (typeof value !== 'string') throw new Problem('invalid-request', 'metadata: has a key twice')
    metadata.push([name, value])
  }
  return Object.fromEntries(metadata)
}
