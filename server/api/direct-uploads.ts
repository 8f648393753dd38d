import type { z } from 'zod'
import { describeUpload } from '../../ledger/description.ts'
import { newUploadId, type UploadId } from '../../ledger/ids.ts'
import type { UploadRow } from '../../ledger/uploads.ts'
import { directUploadPath } from '../../storage/signed-path.ts'
import { readInput } from '../http/read-input.ts'
import { UPLOAD_ID } from '../routes/param.ts'
import { type Call, route } from '../routes/route.ts'
import { callOf } from '../uploads/call.ts'
import { type DirectUploads, partSizeOf } from '../uploads/direct/direct-uploads.ts'
import { empty, json } from './answers.ts'
import { metadataOf } from './described-metadata.ts'
import { DirectParts, DirectUpload, NewDirectUpload, SentParts, WantedParts } from './direct-schemas.ts'
import type { MediaServices } from './media-access.ts'
import { UploadedMedia } from './schemas.ts'
import { uploadedMedia } from './uploaded-media.ts'

export type DirectUploadsServices = MediaServices & { direct: DirectUploads }

const OF_UPLOAD = { params: { id: UPLOAD_ID } } as const
const MAX_BODY_BYTES = 1024 * 1024

/** What an operation on a direct upload knows of its request. */
export const directCall = (
  { request, response }: Pick<Call, 'request' | 'response'>,
  id: UploadId = newUploadId(),
) => callOf(request, response, id)

/** Uploads whose bytes go to the bucket: begin, sign parts, send them there, complete. */
export const directUploadsRoutes = [
  route('post', '/api/v1/direct-uploads', 'token-or-upload-ticket', {
    body: {
      types: ['application/json'],
      schema: NewDirectUpload,
      read: { as: 'json', maxBytes: MAX_BODY_BYTES },
    },
    answers: { 201: json(DirectUpload) },
    summary: 'Begins an upload whose bytes go to the bucket',
    description: 'Parts have `partSize` bytes, the last one what is left: [direct uploads](#direct-uploads).',
    async handle(call, { direct, addressesOf }: DirectUploadsServices) {
      const { filename, contentType, size, ...described } = readInput(
        NewDirectUpload,
        call.request.body ?? {},
      )
      const upload = await direct.begin(directCall(call), {
        size,
        metadata: {
          ...metadataOf(described),
          ...(filename === undefined ? {} : { filename }),
          ...(contentType === undefined ? {} : { filetype: contentType }),
        },
      })
      call.response
        .status(201)
        .set('Location', addressesOf(call.request).location(directUploadPath(upload.id)))
        .json(directView(upload))
    },
  }),
  route('get', '/api/v1/direct-uploads/:id', 'token-or-upload-ticket', {
    ...OF_UPLOAD,
    answers: { 200: json(DirectUpload) },
    summary: 'A direct upload',
    async handle(call, { direct }: DirectUploadsServices) {
      call.response.json(directView(await direct.find(directCall(call, call.params.id))))
    },
  }),
  route('get', '/api/v1/direct-uploads/:id/parts', 'token-or-upload-ticket', {
    ...OF_UPLOAD,
    answers: { 200: json(DirectParts) },
    summary: 'The parts that the bucket has',
    async handle(call, { direct }: DirectUploadsServices) {
      const items = await direct.parts(directCall(call, call.params.id))
      call.response.json({ items } satisfies z.output<typeof DirectParts>)
    },
  }),
  route('post', '/api/v1/direct-uploads/:id/parts', 'token-or-upload-ticket', {
    ...OF_UPLOAD,
    body: {
      types: ['application/json'],
      schema: WantedParts,
      read: { as: 'json', maxBytes: MAX_BODY_BYTES },
    },
    answers: { 200: json(SentParts) },
    summary: 'Links to send parts to the bucket, by PUT',
    async handle(call, { direct }: DirectUploadsServices) {
      const { links, seconds } = await direct.sign(
        directCall(call, call.params.id),
        () => readInput(WantedParts, call.request.body ?? {}).partNumbers,
      )
      const parts = links.map(({ partNumber, size = null, url }) => ({
        partNumber,
        size,
        method: 'PUT' as const,
        url,
      }))
      const expiresAt = new Date(Date.now() + seconds * 1000).toISOString()
      call.response
        .set('Cache-Control', 'no-store')
        .json({ parts, expiresAt } satisfies z.output<typeof SentParts>)
    },
  }),
  route('post', '/api/v1/direct-uploads/:id/complete', 'token-or-upload-ticket', {
    ...OF_UPLOAD,
    answers: { 200: json(UploadedMedia) },
    summary: 'Completes the upload, when the bucket has all of its parts',
    description: 'May be repeated. 409 `parts-mismatch` while the bucket does not have the whole file.',
    async handle(call, services: DirectUploadsServices) {
      const upload = await services.direct.complete(directCall(call, call.params.id))
      call.response.json(await uploadedMedia(call, services, upload))
    },
  }),
  route('delete', '/api/v1/direct-uploads/:id', 'token-or-upload-ticket', {
    ...OF_UPLOAD,
    answers: { 204: empty('Ended') },
    summary: 'Ends a direct upload and removes its parts',
    async handle(call, { direct }: DirectUploadsServices) {
      await direct.abort(directCall(call, call.params.id))
      call.response.status(204).end()
    },
  }),
]

function directView(upload: UploadRow): z.output<typeof DirectUpload> {
  // Without a declared size, its client chooses that of its parts.
  const partSize = upload.size === null ? null : Number(upload.part_size ?? partSizeOf(upload.size))
  return {
    id: upload.id,
    state: upload.state,
    filename: upload.filename,
    size: upload.size,
    partSize,
    partCount:
      upload.size === null || partSize === null ? null : Math.max(1, Math.ceil(upload.size / partSize)),
    mediaId: upload.media_id,
    ...describeUpload(upload.metadata),
    createdAt: upload.created_at.toISOString(),
    expiresAt: upload.state === 'open' ? upload.expires_at.toISOString() : null,
  }
}
