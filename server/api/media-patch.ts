import { checkAttachment } from '../../hooks/attachment.ts'
import { METADATA_LIMITS } from '../../hooks/description-limits.ts'
import { patchMedia } from '../../ledger/media-patch.ts'
import type { Principal } from '../auth/principal.ts'
import { notFound, Problem } from '../http/errors.ts'
import { mediaTypeOf } from '../http/list-header.ts'
import { MEDIA_ID } from '../routes/param.ts'
import { route } from '../routes/route.ts'
import { uploadProblem } from '../uploads/problems.ts'
import { json } from './answers.ts'
import { type MediaServices, ownMedia } from './media-access.ts'
import { MediaPatch, readMediaPatch } from './media-patch-body.ts'
import { Media } from './schemas.ts'
import { mediaView } from './views.ts'

const TYPES = ['application/merge-patch+json', 'application/json']
/** More than every value at its limit, with each character as an escape. */
const MAX_BODY_BYTES = 256 * 1024

/** Changes of what an application says of a media item. */
export const mediaPatchRoutes = [
  route('patch', '/api/v1/media/:id', 'token', {
    params: { id: MEDIA_ID },
    body: { types: TYPES, schema: MediaPatch, read: { as: 'bytes', maxBytes: MAX_BODY_BYTES } },
    answers: { 200: json(Media) },
    summary: 'Changes the description of a media item',
    description:
      'A JSON merge patch of `attachedTo`, `metadata`, `title`, `description`, `captions` and `visibility`: [attachment and metadata](#attachment-and-metadata).',
    async handle({ request, response, who, params }, { db, bus, views, addressesOf }: MediaServices) {
      const { ownerId } = who
      await ownMedia(db, ownerId, params.id)
      const type = mediaTypeOf(request.headers['content-type'])
      if (type === undefined || !TYPES.includes(type))
        throw new Problem('unsupported-content-type', `A patch is sent as ${TYPES.join(' or ')}.`)
      const patch = readMediaPatch(request.body)
      requireAttachable(who, patch.attachedTo ?? null)
      if (patch.visibility === 'public' && views.publicMedia === 'off')
        throw new Problem('forbidden', 'visibility: this server has no public media items (PUBLIC_MEDIA).')
      const result = await patchMedia(db, { ownerId, id: params.id }, patch, METADATA_LIMITS)
      if (result.kind === 'absent') throw notFound()
      if (result.kind === 'too-large') throw tooLarge(result, Object.keys(patch.metadata ?? {}).at(-1) ?? '')
      if (result.isChanged) void bus.publish({ t: 'event', id: result.uploadId, queue: null })
      response.json(mediaView(await ownMedia(db, ownerId, params.id), views, addressesOf(request)))
    },
  }),
]

/** Fails with `forbidden` where the caller may not attach anything to this. */
export function requireAttachable(
  { attachable }: Principal,
  attachedTo: Parameters<typeof checkAttachment>[1],
): void {
  try {
    checkAttachment(attachable, attachedTo)
  } catch (error) {
    throw uploadProblem(error)
  }
}

function tooLarge({ keys, bytes }: { keys: number; bytes: number }, key: string): Problem {
  const [has, limit] =
    keys > METADATA_LIMITS.keys
      ? [`${keys} keys`, METADATA_LIMITS.keys]
      : [`${bytes} bytes`, METADATA_LIMITS.bytes]
  return new Problem(
    'invalid-request',
    `metadata.${key}: with it the metadata has ${has}; the limit is ${limit}.`,
  )
}
