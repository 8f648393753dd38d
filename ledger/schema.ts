import type { ColumnType, Generated, JSONColumnType } from 'kysely'
import type { MediaId, OwnerId, UploadId } from './ids.ts'

export type UploadState = 'open' | 'received' | 'terminated' | 'expired' | 'rejected'
export type MediaStatus = 'processing' | 'ready' | 'rejected' | 'failed' | 'deleted'
export type MediaKind = 'video' | 'image' | 'audio'
export type StepStatus = 'running' | 'done' | 'rejected' | 'failed'

/** Why a file was rejected or its processing failed: a stable code, and a sentence for people. */
export type Reason = { code: string; detail: string }

export type EventType =
  | 'upload.created'
  | 'upload.received'
  | 'upload.terminated'
  | 'upload.expired'
  | 'upload.rejected'
  | 'media.ready'
  | 'media.rejected'
  | 'media.failed'
  | 'media.deleted'
  | 'analysis.finished'
  | 'hls.finished'

/** What an outside engine was asked and has found out about a media. */
export type Analysis = {
  /** The engine's own; null until it has answered. */
  id: string | null
  /** `requested`: it has not answered yet. `pending`: it is working. */
  status: 'requested' | 'pending' | 'finished' | 'failed'
  result: unknown
  /** From 0 to 1. */
  confidence: number | null
  verdict: 'accept' | 'reject' | null
  estimatedSeconds: number | null
  /** Where people see the result. */
  url: string | null
  /** ISO 8601. */
  requestedAt: string
  finishedAt: string | null
}

/** A value the database fills in and no statement sets. */
type Timestamp = ColumnType<Date, Date | undefined, Date>

export interface UploadsTable {
  id: UploadId
  owner_id: OwnerId
  tenant_id: string | null
  protocol: string
  state: UploadState
  /** Bytes; null while the length is deferred. */
  size: number | null
  /** Bytes durably stored and acknowledged. */
  offset: Generated<number>
  metadata: JSONColumnType<Record<string, string | null>>
  filename: string | null
  declared_type: string | null
  is_partial: Generated<boolean>
  /** Upload-Concat as its client said it; null where it did not. */
  concat: string | null
  /** Of a partial upload: all of its bytes are there, and stored as those of a whole one. */
  is_finished: Generated<boolean>
  /** Upload-Metadata as its client said it; null where it did not. */
  metadata_header: string | null
  /** Promised of the whole file: algorithm → base64. */
  digests: JSONColumnType<Record<string, string>> | null
  /** The algorithm of the digest that its client would like to be told. */
  wanted_digest: string | null
  storage_backend: string
  storage_key: string
  /** Bytes of quota held while the upload is open; kept afterwards as a record. */
  reserved_bytes: number
  media_id: MediaId | null
  reject: JSONColumnType<Reason> | null
  /** Bytes of every part but the last; null while nothing is stored on a grid. */
  part_size: number | null
  multipart_id: string | null
  /** Multipart uploads may be open for its key whose ids never reached us. */
  multipart_unsure: Generated<boolean>
  created_at: Timestamp
  updated_at: Timestamp
  /** Moves on with every append. Read by way of `ledger/expiry.ts` alone. */
  expires_at: ColumnType<Date, Date, Date>
  /** When the reaper looks at it: never later than it expires. */
  reap_after: Timestamp
  /** When it was terminated or rejected, or marked as expired. */
  ended_at: ColumnType<Date | null, never, Date | null>
  /** Nothing of what its client said of it is left. */
  is_bare: Generated<boolean>
  /** It was terminated or expired before it had received a byte. */
  ended_empty: Generated<boolean>
  received_at: ColumnType<Date | null, never, Date>
}

export interface UploadPartsTable {
  upload_id: UploadId
  part_number: number
  offset: number
  size: number
  etag: string
}

export interface UploadTailsTable {
  upload_id: UploadId
  storage_key: string
  offset: number
  size: number
  /** Null until it is stored and counts. */
  etag: string | null
  /** No call that stores it can still arrive. */
  is_sure: Generated<boolean>
  /** When it was removed for the first time. */
  dropped_at: ColumnType<Date | null, Date | undefined, Date>
}

export interface UploadLocksTable {
  upload_id: UploadId
  holder: string
  fence: string
  contended: Generated<boolean>
  expires_at: ColumnType<Date, Date, Date>
}

export interface QuotasTable {
  owner_id: OwnerId
  bytes_limit: number | null
  uploads_limit: number | null
}

export interface QuotaUsageTable {
  owner_id: OwnerId
  reserved_bytes: Generated<number>
  used_bytes: Generated<number>
  open_uploads: Generated<number>
  finished_uploads: Generated<number>
  /** Partial uploads that no final upload has used yet. */
  open_partials: Generated<number>
  /** A counter would have gone below zero: all of them have to be counted anew. */
  inconsistent_since: ColumnType<Date | null, never, Date | null>
  /** Virtual time of the owner's last new file in the line for processing, and in that of short ones: `processing-turns.ts`. */
  turn_until_ms: Generated<number>
  short_turn_until_ms: Generated<number>
}

export interface TurnClocksTable {
  kind: string
  now_ms: number
}

export interface TurnsTable {
  kind: string
  owner_id: OwnerId
  until_ms: number
}

export interface UploadConcatTable {
  final_id: UploadId
  position: number
  partial_id: UploadId
  takes_reservation: boolean
}

export interface MediaTable {
  id: MediaId
  upload_id: UploadId
  owner_id: OwnerId
  tenant_id: string | null
  filename: string | null
  content_type: string | null
  kind: MediaKind | null
  size: number
  sha256: string | null
  status: MediaStatus
  reason: JSONColumnType<Reason> | null
  duration_seconds: number | null
  width: number | null
  height: number | null
  fps: number | null
  video_codec: string | null
  audio_codec: string | null
  has_audio: boolean | null
  bitrate: number | null
  quality: string | null
  attached_type: string | null
  attached_id: string | null
  /** That of its upload, and of all that was made of it. */
  storage_backend: Generated<string>
  storage_key: string
  /** Of the object, once all of its bytes were checked to be there; null where the storage has none. */
  etag: string | null
  analysis: JSONColumnType<Analysis> | null
  /** All is done that can be before the engine has come to an end: then it has to be processed on. */
  is_parked: Generated<boolean>
  /** When the engine's time is over; null where nothing is waited for. */
  analysis_due_at: ColumnType<Date | null, never, Date | null>
  /** A tiny placeholder for its picture, base64. */
  thumbhash: string | null
  /** Degrees clockwise by which the picture is turned to be shown. */
  rotation: number | null
  is_hdr: boolean | null
  video_streams: number | null
  audio_streams: number | null
  /** Languages of the captions in the file. */
  captions: string[] | null
  scan_status: 'clean' | 'unscanned' | 'off' | null
  /** Since it was processed for the last time, or began to be, somebody has asked for that once more. */
  is_asked_again: Generated<boolean>
  created_at: Timestamp
  ready_at: ColumnType<Date | null, never, Date>
  deleted_at: ColumnType<Date | null, never, Date>
  /** When its bytes were given up, after a while as deleted. */
  purged_at: ColumnType<Date | null, never, Date>
  /** Steps that are not done again, with what they found, where their records were pruned. */
  steps_behind: JSONColumnType<Record<string, Record<string, unknown>>> | null
}

export interface RenditionsTable {
  media_id: MediaId
  kind: string
  storage_key: string
  content_type: string
  width: number | null
  height: number | null
  size: number
}

export interface ProcessingStepsTable {
  media_id: MediaId
  step: string
  attempt: number
  status: StepStatus
  started_at: Timestamp
  finished_at: ColumnType<Date | null, never, Date>
  detail: JSONColumnType<Record<string, unknown>> | null
}

export interface EventsTable {
  id: Generated<number>
  type: EventType
  upload_id: UploadId
  media_id: MediaId | null
  owner_id: OwnerId
  data: JSONColumnType<Record<string, unknown>> | null
  created_at: Timestamp
}

export interface WebhookEndpointsTable {
  id: string
  url: string
  disabled_at: ColumnType<Date | null, Date | null | undefined, Date | null>
  disabled_reason: string | null
  created_at: Timestamp
}

export interface WebhookDeliveriesTable {
  /** Also the `webhook-id` of every attempt. */
  id: string
  position: Generated<number>
  endpoint_id: string
  event_id: number
  upload_id: UploadId
  media_id: MediaId | null
  owner_id: OwnerId
  type: EventType
  status: ColumnType<
    'pending' | 'delivered' | 'failed',
    'pending' | undefined,
    'pending' | 'delivered' | 'failed'
  >
  attempts: Generated<number>
  /** Attempts that failed since it was made or replayed. */
  failures: Generated<number>
  /** While it is in flight: when the one who took it counts as gone. */
  next_attempt_at: Timestamp
  lease: string | null
  /** What the first attempt sent, which is what the others send. */
  payload: string | null
  last_status: number | null
  last_error: string | null
  created_at: Timestamp
  delivered_at: ColumnType<Date | null, never, Date | null>
}

export interface WebhookAttemptsTable {
  delivery_id: string
  attempt: number
  at: Timestamp
  status: number | null
  error: string | null
  duration_ms: number
}

export interface StreamTicketsTable {
  token_hash: Buffer
  owner_id: OwnerId
  scopes: string[]
  expires_at: ColumnType<Date, Date, Date>
}

export interface StoragePlacesTable {
  backend: string
  marker_key: string
  recorded_at: Timestamp
}

export interface StrayCopiesTable {
  upload_id: UploadId
  backend: string
  storage_keys: string[]
  is_begun: boolean
  due_at: ColumnType<Date, Date, Date>
  fence: string | null
  fenced_until: ColumnType<Date | null, Date | null, Date | null>
  is_removing: Generated<boolean>
  bytes_to_come: Generated<number>
}

export interface SecretsTable {
  name: string
  value: Buffer
}

/** The schema `landfall`, as Kysely sees it. */
export interface LedgerSchema {
  uploads: UploadsTable
  upload_parts: UploadPartsTable
  upload_tails: UploadTailsTable
  upload_locks: UploadLocksTable
  upload_concat: UploadConcatTable
  quotas: QuotasTable
  quota_usage: QuotaUsageTable
  turn_clocks: TurnClocksTable
  turns: TurnsTable
  media: MediaTable
  renditions: RenditionsTable
  processing_steps: ProcessingStepsTable
  events: EventsTable
  webhook_endpoints: WebhookEndpointsTable
  webhook_deliveries: WebhookDeliveriesTable
  webhook_attempts: WebhookAttemptsTable
  stream_tickets: StreamTicketsTable
  storage_places: StoragePlacesTable
  stray_copies: StrayCopiesTable
  secrets: SecretsTable
}
