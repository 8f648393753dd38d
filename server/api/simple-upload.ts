import type { Request, Response } from 'express'
import type { UploadRow } from '../../ledger/uploads.ts'
import type { EventStreams } from '../events/event-streams.ts'
import { untilMediaEnds } from '../events/media-wait.ts'
import { listElements } from '../http/list-header.ts'
import { route } from '../routes/route.ts'
import { json } from './answers.ts'
import type { MediaServices } from './media-access.ts'
import { SimpleUploadQuery, UploadedMedia } from './schemas.ts'
import { uploadedMedia } from './uploaded-media.ts'

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
      const media = await uploadedMedia({ request, response, who }, services, upload)
      response.status(201).json(media)
    },
  }),
]

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
