import { UPLOAD_ID } from '../routes/param.ts'
import { type Body, type Call, type RequestHeader, route } from '../routes/route.ts'
import { TUS_VERSION } from '../uploads/tus/request-checks.ts'
import { empty } from './answers.ts'
import type { UploadRequests } from './upload-requests.ts'

export type FilesServices = { uploads: UploadRequests }

/** Select the protocol: tus 1.0 or the IETF draft. */
const PROTOCOL: readonly RequestHeader[] = [
  { name: 'Tus-Resumable', description: 'Required by tus 1.0', example: TUS_VERSION },
  { name: 'Upload-Draft-Interop-Version', description: 'IETF draft: 6 or 8' },
]
const LENGTH: readonly RequestHeader[] = [
  { name: 'Upload-Length', description: 'Bytes of the whole file', example: '2000' },
  { name: 'Upload-Complete', description: 'IETF draft: whether the body ends the file, `?1` or `?0`' },
]
const OFFSET = { name: 'Upload-Offset', description: 'Where the body begins, in bytes', example: '0' }
const METADATA = { name: 'Upload-Metadata', description: 'File name and type, as tus 1.0 writes them' }
const CHECKSUM = { name: 'Upload-Checksum', description: 'tus 1.0: algorithm and checksum of the body' }
const CONCAT = {
  name: 'Upload-Concat',
  description: 'tus 1.0: `partial`, or `final;` and the partial uploads',
}
const DEFER = { name: 'Upload-Defer-Length', description: 'tus 1.0: `1` where the length is not known yet' }
const DIGESTS: readonly RequestHeader[] = [
  { name: 'Content-Digest', description: 'IETF draft: digest of the body' },
  { name: 'Repr-Digest', description: 'IETF draft: digest of the file' },
]
const BYTES: Body = { types: ['application/offset+octet-stream', 'application/partial-upload'] }

const CAPABILITIES = {
  handle: ({ response }: Pick<Call, 'response'>, { uploads }: FilesServices) =>
    uploads.capabilities(response),
  answers: { 204: empty('`Tus-Version`, `Tus-Extension`, `Tus-Max-Size`, `Upload-Limit`') },
  summary: 'What the server supports; also answers preflights',
  // tus 1.0: every response has it, but for those of OPTIONS.
  refusesOthers: { 'Tus-Resumable': TUS_VERSION },
} as const

const OF_UPLOAD = { params: { id: UPLOAD_ID }, headers: PROTOCOL } as const

/** Uploads, by two protocols at the same paths. */
export const filesRoutes = [
  route('post', '/files', 'token-or-upload-ticket', {
    headers: [...PROTOCOL, ...LENGTH, DEFER, METADATA, CONCAT, CHECKSUM, ...DIGESTS],
    body: BYTES,
    answers: { 201: empty('Created; its address is in `Location`') },
    summary: 'Creates an upload',
    description: 'The body may carry its first bytes, or all of them.',
    handle: (call, { uploads }: FilesServices) => uploads.create(call),
  }),
  route('options', '/files', 'public', CAPABILITIES),
  route('get', '/files/:id', 'token-or-upload-ticket', {
    ...OF_UPLOAD,
    answers: {
      303: empty('To the content of a ready file'),
      204: empty('IETF draft: `Upload-Offset` and `Upload-Complete`'),
    },
    summary: 'The file, once it is ready',
    handle: (call, { uploads }: FilesServices) => uploads.read(call),
  }),
  route('head', '/files/:id', 'token-or-upload-ticket', {
    ...OF_UPLOAD,
    answers: {
      200: empty('`Upload-Offset` and `Upload-Length`'),
      204: empty('IETF draft: `Upload-Offset` and `Upload-Complete`'),
    },
    summary: 'The offset of an upload',
    handle: (call, { uploads }: FilesServices) => uploads.offset(call),
  }),
  route('patch', '/files/:id', 'token-or-upload-ticket', {
    ...OF_UPLOAD,
    headers: [
      ...PROTOCOL,
      OFFSET,
      ...LENGTH.map(({ example: _, ...header }) => header),
      CHECKSUM,
      ...DIGESTS,
    ],
    body: BYTES,
    answers: {
      204: empty('Stored; `Upload-Offset` is the new offset'),
      201: empty('IETF draft: the upload is complete'),
    },
    summary: 'Appends bytes',
    handle: (call, { uploads }: FilesServices) => uploads.append(call),
  }),
  route('delete', '/files/:id', 'token-or-upload-ticket', {
    ...OF_UPLOAD,
    answers: { 204: empty('Ended') },
    summary: 'Ends an upload, or deletes the media item of a finished one',
    handle: (call, { uploads }: FilesServices) => uploads.cancel(call),
  }),
  route('options', '/files/:id', 'public', CAPABILITIES),
]
