import type { Request, Response } from 'express'
import type { z } from 'zod'
import type { MediaRow } from '../../ledger/media.ts'
import { usualSeconds } from '../../ledger/processing-times.ts'
import type { UploadRow } from '../../ledger/uploads.ts'
import { mediaPath } from '../../storage/signed-path.ts'
import { isService } from '../auth/principal.ts'
import type { EventStreams } from '../events/event-streams.ts'
import { untilMediaEnds } from '../events/media-wait.ts'
import { notFound, Problem } from '../http/errors.ts'
import { listElements } from '../http/list-header.ts'
import { route } from '../routes/route.ts'
import { json } from './answers.ts'
import { type MediaServices, ownMedia } from './media-access.ts'
import { SimpleUploadQuery, UploadedMedia } from './schemas.ts'
import { mediaView } from './views.ts'

export type SimpleUploadServices = MediaServices & {
  streams: EventStreams
  receiveSimply: (request: Request, response: Response) => Promise<UploadRow>
}

/** RFC 7240 § 4.3, in seconds. */
const MAX_WAIT_SECONDS = 60
const WAIT = /^wait *= *"?(\d{1,9})"?$/i

/** A whole file in one request. */
export const simpleUploadRoutes = [
  route('post', '/api/v1/media', 'token-or-upload-ticket', {
    query: SimpleUploadQuery,
    headers: [
      {
        name: 'Prefer',
        description: '`wait=10` holds the answer until the file is ready, for ten seconds at most',
      },
      { name: 'Content-Disposition', description: 'The `filename` of a body that is no form' },
    ],
    body: { types: ['multipart/form-data', '*/*'] },
    answers: { 201: json(UploadedMedia) },
    summary: 'Receives a small file in one request',
    description: 'As a form with the file last, or as the body: [simple uploads](#simple-uploads).',
    async handle({ request, response, who }, services: SimpleUploadServices) {
      const waitSeconds = preferredWait(request)
      const upload = await services.receiveSimply(request, response)
      if (waitSeconds > 0) {
        response.set('Preference-Applied', `wait=${waitSeconds}`)
        await untilMediaEnds(services.streams, upload, waitEnd(response, waitSeconds))
      }
      const { db, views, addressesOf } = services
      if (upload.media_id === null) throw notFound()
      const media = await ownMedia(db, who.ownerId, upload.media_id)
      if (media.status === 'rejected') throw rejected(media)
      const addresses = addressesOf(request)
      response
        .status(201)
        .set('Location', addresses.location(mediaPath(media.id)))
        .json({
          ...mediaView(media, views, addresses),
          // A ticket reads no files.
          ...(who.ticket ? NO_LINKS : {}),
          estimatedSeconds: media.status === 'processing' ? await usualSeconds(db, who.ownerId) : 0,
          ...(isService(who) ? { storageKey: media.storage_key } : {}),
        } satisfies z.output<typeof UploadedMedia>)
    },
  }),
]

const NO_LINKS = {
  thumbnailUrl: null,
  storyboardUrl: null,
  waveformUrl: null,
  hlsUrl: null,
  contentUrl: null,
  cdnUrl: null,
}

/** Seconds; 0 without a preference. What is not understood is no error (RFC 7240 § 2). */
function preferredWait(request: Request): number {
  const waits = listElements(request.headers.prefer).map((one) => WAIT.exec(one)?.[1])
  const wanted = waits.find((wait) => wait !== undefined)
  return Math.min(Number(wanted ?? 0), MAX_WAIT_SECONDS)
}

function waitEnd(response: Response, seconds: number): AbortSignal {
  const left = new AbortController()
  response.once('close', () => left.abort())
  return AbortSignal.any([left.signal, AbortSignal.timeout(seconds * 1000)])
}

/** Its client is still here to learn of it. */
const rejected = ({ id, upload_id: uploadId, reason }: MediaRow): Problem =>
  new Problem('content-rejected', reason?.detail ?? 'The file was rejected.', {
    members: { reason, mediaId: id, uploadId },
  })
