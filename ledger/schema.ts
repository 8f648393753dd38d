import type { ColumnType, Generated, JSONColumnType } from 'kysely'
import type { EventType } from './event-types.ts'
import type { MediaId, OwnerId, UploadId } from './ids.ts'

export type UploadState = 'open' | 'received' | 'terminated' | 'expired' | 'rejected'
export type MediaStatus = 'processing' | 'ready' | 'rejected' | 'failed' | 'deleted'
/** `document` and `file` are all files that are not looked into. */
export type MediaKind = 'video' | 'image' | 'audio' | 'document' | 'file'
export type StepStatus = 'running' | 'done' | 'rejected' | 'failed'
export type DeliveryStatus = 'pending' | 'delivered' | 'failed'

/** Why a file was rejected or its processing failed: a stable code, and a sentence for people. */
export type Reason = { code: string; detail: string }

/** A request to an analysis engine about a media item, and its result. */
export type Analysis = {
  /** The engine's id; null until it has answered. */
  id: string | null
  /** `requested`: no answer yet. `pending`: it is working. */
  status: 'requested' | 'pending' | 'finished' | 'failed'
  result: unknown
  /** From 0 to 1. */
  confidence: number | null
  verdict: 'accept' | 'reject' | null
  estimatedSeconds: number | null
  /** Page with the result for people. */
  url: string | null
  /** ISO 8601. */
  requestedAt: string
  finishedAt: string | null
}

/** Filled in by the database. */
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
  /** Upload-Concat as sent by the client; null without. */
  concat: string | null
  /** A partial upload with all of its bytes. */
  is_finished: Generated<boolean>
  /** Upload-Metadata as sent by the client; null without. */
  metadata_header: string | null
  /** The client's digests of the whole file: algorithm → base64. */
  digests: JSONColumnType<Record<string, string>> | null
  /** The algorithm of the digest that the client asks for. */
  wanted_digest: string | null
  storage_backend: string
  storage_key: string
  /** Bytes of quota reserved while the upload is open; kept afterwards as a record. */
  reserved_bytes: number
  media_id: MediaId | null
  reject: JSONColumnType<Reason> | null
  /** Bytes of every part but the last; null until the first part or tail. */
  part_size: number | null
  multipart_id: string | null
  /** Multipart uploads with unknown ids may be open for its key. */
  multipart_unsure: Generated<boolean>
  created_at: Timestamp
  updated_at: Timestamp
  /** Extended by every append. Read only through `ledger/expiry.ts`. */
  expires_at: ColumnType<Date, Date, Date>
  /** When the reaper looks at it: never later than it expires. */
  reap_after: Timestamp
  /** When it was terminated or rejected, or marked as expired. */
  ended_at: ColumnType<Date | null, never, Date | null>
  /** What the client declared of it is removed. */
  is_bare: Generated<boolean>
  /** It was terminated or expired before it received a byte. */
  ended_empty: Generated<boolean>
  received_at: ColumnType<Date | null, never, Date>
  /** It has ended, and its metadata is removed as soon as that was told. */
  sheds: Generated<boolean>
  /** The ticket that it was begun with. */
  ticket_id: string | null
  terms: JSONColumnType<UploadTerms> | null
  /** The erasure of its owner that it is part of. */
  erasure_id: ColumnType<string | null, never, string>
}

/** Limits of one upload beside those of the server. */
export type UploadTerms = {
  /** Bytes. */
  maxSize?: number
  /** Media types and ranges, separated by commas. */
  types?: string
  /** When it expires at the latest, ISO 8601. */
  until?: string
}

export interface UploadTicketsTable {
  id: string
  token_hash: Buffer
  owner_id: OwnerId
  tenant_id: string | null
  max_size: number | null
  allowed_types: string | null
  metadata: JSONColumnType<Record<string, string | null>>
  uploads_allowed: number
  begin_before: ColumnType<Date, Date, never>
  upload_within_seconds: number | null
  revoked_at: ColumnType<Date | null, never, Date>
  created_at: Timestamp
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
  /** Until when a client may store it; null where only we do. */
  late_until: ColumnType<Date | null, never, never>
}

export interface LinkProbesTable {
  storage_key: string
  began_at: Timestamp
}

export interface DirectUploadsTable {
  upload_id: UploadId
  /** Where a form puts the whole file; null for one in parts. */
  form_key: string | null
  /** When the bucket is asked next. */
  look_at: ColumnType<Date, Date, Date>
  /** When the bucket last had nothing of it. */
  empty_at: ColumnType<Date | null, never, Date>
  created_at: Timestamp
  /** As of the upload; null of one that an earlier release begins. */
  owner_id: OwnerId | null
  /** When the last of its links is over. */
  links_until: ColumnType<Date | null, Date, Date>
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
  /** A counter would have become negative: all of them have to be recounted. */
  inconsistent_since: ColumnType<Date | null, never, Date | null>
  /** Virtual time of the owner's last new file, and of the last short one: `processing-turns.ts`. */
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
  /** The media item of the same owner with the same bytes that was there before, where that was looked for. */
  duplicate_of: MediaId | null
  /** None was: later ones are compared with it. */
  is_original: Generated<boolean>
  /** Whether everybody may see it, where the operator allows that. */
  visibility: Generated<'private' | 'public'>
  status: MediaStatus
  reason: JSONColumnType<Reason> | null
  duration_seconds: number | null
  /** Pixels, as shown. */
  width: number | null
  height: number | null
  /** Pixels, as stored: neither rotated nor stretched to their shape. */
  coded_width: number | null
  coded_height: number | null
  fps: number | null
  /** Numbers of the streams that are shown and heard; null where there is none, or a release before this one probed. */
  picture_stream: number | null
  sound_stream: number | null
  /** Why renditions of the picture were not made. */
  renditions_skipped: 'unsupported-codec' | null
  video_codec: string | null
  audio_codec: string | null
  has_audio: boolean | null
  bitrate: number | null
  quality: string | null
  /** What the application says of it: `description.ts`. */
  attached_type: string | null
  attached_id: string | null
  metadata: JSONColumnType<Record<string, string | null>> | null
  title: string | null
  description: string | null
  told_captions: string[] | null
  /** Of its upload and of all renditions. */
  storage_backend: Generated<string>
  storage_key: string
  /** Of the object, once its size was checked; null where the storage has no etags. */
  etag: string | null
  analysis: JSONColumnType<Analysis> | null
  /** Everything is done that does not need the analysis: processing continues after it. */
  is_parked: Generated<boolean>
  /** When the engine's time is over; null while no result is expected. */
  analysis_due_at: ColumnType<Date | null, never, Date | null>
  /** A tiny placeholder for its picture, base64. */
  thumbhash: string | null
  /** Degrees clockwise by which the picture is rotated to be shown. */
  rotation: number | null
  is_hdr: boolean | null
  video_streams: number | null
  audio_streams: number | null
  /** Languages of the captions in the file. */
  captions: string[] | null
  scan_status: 'clean' | 'unscanned' | 'off' | null
  /** Reprocessing was requested since the last run began. */
  is_asked_again: Generated<boolean>
  created_at: Timestamp
  ready_at: ColumnType<Date | null, never, Date>
  deleted_at: ColumnType<Date | null, never, Date>
  /** When its bytes were given up, after its retention as deleted. */
  purged_at: ColumnType<Date | null, never, Date>
  /** Results of steps that are not repeated, where their records were pruned. */
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
  status: Generated<DeliveryStatus>
  attempts: Generated<number>
  /** Failed attempts since it was created or replayed. */
  failures: Generated<number>
  /** While it is being sent: when that attempt counts as lost. */
  next_attempt_at: Timestamp
  lease: string | null
  /** What the first attempt sent; later ones send the same. */
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

export interface OwnerErasuresTable {
  id: string
  owner_hash: Buffer
  /** Null when it is done. */
  owner_id: OwnerId | null
  started_at: ColumnType<Date, Date, never>
  finished_at: ColumnType<Date | null, never, Date>
  counts: JSONColumnType<Partial<Record<string, number>>, string | undefined>
  waits: JSONColumnType<Partial<Record<string, number>>> | null
  is_owner_left: boolean | null
}

export interface MediaLinksTable {
  id: string
  media_id: MediaId
  owner_id: OwnerId
  kinds: string[]
  disposition: 'inline' | 'attachment' | null
  filename: string | null
  created_at: Timestamp
  expires_at: ColumnType<Date, Date, never>
  revoked_at: ColumnType<Date | null, never, Date>
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
  'landfall.uploads': UploadsTable
  'landfall.upload_tickets': UploadTicketsTable
  'landfall.upload_parts': UploadPartsTable
  'landfall.upload_tails': UploadTailsTable
  'landfall.direct_uploads': DirectUploadsTable
  'landfall.link_probes': LinkProbesTable
  'landfall.upload_locks': UploadLocksTable
  'landfall.upload_concat': UploadConcatTable
  'landfall.quotas': QuotasTable
  'landfall.quota_usage': QuotaUsageTable
  'landfall.turn_clocks': TurnClocksTable
  'landfall.turns': TurnsTable
  'landfall.media': MediaTable
  'landfall.renditions': RenditionsTable
  'landfall.processing_steps': ProcessingStepsTable
  'landfall.events': EventsTable
  'landfall.webhook_endpoints': WebhookEndpointsTable
  'landfall.webhook_deliveries': WebhookDeliveriesTable
  'landfall.webhook_attempts': WebhookAttemptsTable
  'landfall.stream_tickets': StreamTicketsTable
  'landfall.owner_erasures': OwnerErasuresTable
  'landfall.media_links': MediaLinksTable
  'landfall.storage_places': StoragePlacesTable
  'landfall.stray_copies': StrayCopiesTable
  'landfall.secrets': SecretsTable
}
