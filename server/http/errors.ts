import type { RefusalCode } from '../../hooks/refusal.ts'

type Entry = { status: number; title: string }

/** Every code a response can carry. Clients rely on codes and statuses (see docs/api.md); titles may change. */
export const CATALOGUE = {
  'invalid-header': { status: 400, title: 'A header is missing or malformed' },
  'invalid-metadata': { status: 400, title: 'Upload-Metadata is malformed' },
  'invalid-concat': { status: 400, title: 'The partial uploads cannot be concatenated' },
  'inconsistent-length': { status: 400, title: 'inconsistent length values for upload' },
  'digest-mismatch': { status: 400, title: 'The content does not match its digest' },
  'upload-complete': { status: 400, title: 'upload is already completed' },
  'invalid-request': { status: 400, title: 'The request is malformed' },
  'too-small': { status: 400, title: 'The file is too small' },
  'token-missing': { status: 401, title: 'A bearer token is required' },
  'token-invalid': { status: 401, title: 'The token is not valid' },
  'token-expired': { status: 401, title: 'The token has expired' },
  forbidden: { status: 403, title: 'The request is not allowed' },
  'refused-by-hook': { status: 403, title: 'The application does not accept the file' },
  'ticket-used': { status: 403, title: 'The upload ticket has been used' },
  'not-found': { status: 404, title: 'Not found' },
  'method-not-allowed': { status: 405, title: 'Method not allowed' },
  'request-timeout': { status: 408, title: 'The request timed out' },
  'offset-conflict': { status: 409, title: 'Upload-Offset does not match the current offset' },
  'not-ready': { status: 409, title: 'The media item is not ready' },
  'analysis-conflict': { status: 409, title: 'The report does not match the current analysis' },
  'parts-mismatch': { status: 409, title: 'The bucket does not have the parts of the file' },
  'webhooks-off': { status: 409, title: 'No webhook endpoint is active' },
  'upload-terminated': { status: 410, title: 'The upload was terminated' },
  'upload-expired': { status: 410, title: 'The upload has expired' },
  'upload-rejected': { status: 410, title: 'The file was rejected' },
  'media-purged': { status: 410, title: 'The media item was purged' },
  'unsupported-version': { status: 412, title: 'Tus-Resumable is missing or not supported' },
  'too-large': { status: 413, title: 'The file is too large' },
  'quota-bytes-exceeded': { status: 413, title: 'The storage quota is exceeded' },
  'unsupported-content-type': { status: 415, title: 'The content type is not supported' },
  'type-not-allowed': { status: 415, title: 'The file type is not allowed' },
  'range-not-satisfiable': { status: 416, title: 'The range is not satisfiable' },
  'content-rejected': { status: 422, title: 'The file was rejected' },
  locked: { status: 423, title: 'Another request is writing to this upload' },
  'too-many-open-uploads': { status: 429, title: 'Too many unfinished uploads' },
  'rate-limited': { status: 429, title: 'Too many concurrent requests' },
  'too-many-streams': { status: 429, title: 'Too many event streams' },
  'too-many-links': { status: 429, title: 'Too many links to this media item' },
  'quota-uploads-exceeded': { status: 429, title: 'The upload count quota is exceeded' },
  'upgrade-required': { status: 426, title: 'The resource accepts WebSocket connections only' },
  'headers-too-large': { status: 431, title: 'The headers are too large' },
  'metadata-too-large': { status: 431, title: 'Upload-Metadata is too large' },
  'checksum-mismatch': { status: 460, title: 'Checksum mismatch' },
  'internal-error': { status: 500, title: 'Internal server error' },
  'direct-uploads-off': { status: 501, title: 'This server offers no direct uploads' },
  'hook-unavailable': { status: 503, title: 'The application could not be asked' },
  unavailable: { status: 503, title: 'The service is temporarily unavailable' },
  'storage-full': { status: 507, title: 'The storage is full' },
} as const satisfies Record<string, Entry> & Record<RefusalCode, Entry>

export type ErrorCode = keyof typeof CATALOGUE

type StandardMember = 'type' | 'title' | 'status' | 'detail' | 'code' | 'requestId'

export type ProblemOptions = {
  /** Response headers that belong to the error. */
  headers?: Readonly<Record<string, string>>
  /** Members added to the document. Those of every problem would be hidden by its own. */
  members?: Readonly<Record<string, unknown>> & { readonly [Name in StandardMember]?: never }
  /** In place of that of the code. */
  status?: number | undefined
  /** URI of the problem type, where a standard has one. */
  type?: string
  /** For the log only. */
  cause?: unknown
}

/** An error that a client may see: its code and a sentence, without internals. */
export class Problem extends Error {
  readonly code: ErrorCode
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly members: NonNullable<ProblemOptions['members']>
  readonly type: string

  constructor(code: ErrorCode, detail: string, options: ProblemOptions = {}) {
    super(detail, { cause: options.cause })
    this.name = 'Problem'
    this.code = code
    this.status = options.status ?? CATALOGUE[code].status
    this.headers = options.headers ?? {}
    this.members = options.members ?? {}
    this.type = options.type ?? `urn:landfall:${code}`
  }

  /** The document of RFC 9457. */
  toDocument(requestId: string): Record<string, unknown> {
    return {
      ...this.members,
      type: this.type,
      title: CATALOGUE[this.code].title,
      status: this.status,
      detail: this.message,
      code: this.code,
      requestId,
    }
  }
}

export const notFound = (): Problem => new Problem('not-found', 'No such resource.')
