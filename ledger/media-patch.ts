import { sql } from 'kysely'
import type { Ledger } from './database.ts'
import type { AttachedTo, Metadata } from './description.ts'
import { logEvents, mediaEvent } from './event-log.ts'
import type { MediaId, OwnerId, UploadId } from './ids.ts'
import { withOwnerLock } from './owner-share.ts'
import { onlyRow } from './rows.ts'

/** Changes of what is said of a media item. What is undefined stays as it is; null removes it. */
export type MediaPatch = {
  attachedTo?: AttachedTo | null | undefined
  /** Keys to set, and with null to remove. Null in its place removes all keys. */
  metadata?: Metadata | null | undefined
  title?: string | null | undefined
  description?: string | null | undefined
  captions?: readonly string[] | null | undefined
  visibility?: 'private' | 'public' | undefined
}

export type PatchResult =
  | { kind: 'absent' }
  /** The metadata would have more keys, or bytes of keys and values, than the limits. Nothing was changed. */
  | { kind: 'too-large'; keys: number; bytes: number }
  | { kind: 'patched'; uploadId: UploadId; isChanged: boolean }

/**
 * Changes what is said of the owner's media item, with an event where it is another than before, in one statement.
 * Patches at the same time all take effect: keys of the metadata are merged in the ledger. A deletion wins.
 */
export async function patchMedia(
  db: Ledger,
  { ownerId, id }: { ownerId: OwnerId; id: MediaId },
  patch: MediaPatch,
  limits: { keys: number; bytes: number },
): Promise<PatchResult> {
  const { attachedTo, title, description, captions, visibility } = patch
  const { base, set, removed } = metadataChange(patch.metadata)
  const column = (name: string, value: unknown, type: string) =>
    value === undefined ? sql`was.${sql.id(name)}` : sql`${value}::${sql.raw(type)}`
  // A patch that adds nothing may also be of metadata that earlier releases took.
  const isLimited = Object.keys(set).length > 0
  const result = await withOwnerLock(
    db,
    ownerId,
    (trx) => onlyRow<{
      uploadId: UploadId | null
      keys: number
      bytes: number
      fits: boolean
      isChanged: boolean
    }>(trx)`
      with was as materialized (
        -- A migration may not have come to it yet.
        select m.id, m.upload_id, coalesce(m.metadata, d.metadata) as metadata,
               case when m.metadata is null then d.attached_type else m.attached_type end as attached_type,
               case when m.metadata is null then d.attached_id else m.attached_id end as attached_id,
               case when m.metadata is null then d.title else m.title end as title,
               case when m.metadata is null then d.description else m.description end as description,
               case when m.metadata is null then d.told_captions else m.told_captions end as told_captions, m.visibility
          from landfall.media m join landfall.uploads u on u.id = m.upload_id
         cross join lateral landfall.described(u.metadata) d
         where m.id = ${id} and m.owner_id = ${ownerId} and m.status <> 'deleted' for update of m
      ), wanted as materialized (
        select was.id,
               ${column('attached_type', attachedTo === undefined ? undefined : (attachedTo?.type ?? null), 'text')} as attached_type,
               ${column('attached_id', attachedTo === undefined ? undefined : (attachedTo?.id ?? null), 'text')} as attached_id,
               ${column('title', title, 'text')} as title,
               ${column('description', description, 'text')} as description,
               ${column('told_captions', captions, 'text[]')} as told_captions,
               ${column('visibility', visibility, 'text')} as visibility,
               (${base} || ${JSON.stringify(set)}::jsonb) - ${removed}::text[] as metadata
          from was
      ), measured as materialized (
        select count(*) as keys, coalesce(sum(octet_length(key) + coalesce(octet_length(value), 0)), 0)::bigint as bytes
          from wanted cross join lateral jsonb_each_text(wanted.metadata)
      ), judged as materialized (
        select keys, bytes, not ${isLimited} or (keys <= ${limits.keys} and bytes <= ${limits.bytes}) as fits from measured
      ), changed as (
        update landfall.media m
           set attached_type = w.attached_type, attached_id = w.attached_id, title = w.title, description = w.description,
               told_captions = w.told_captions, metadata = w.metadata, visibility = w.visibility
          from wanted w join was using (id) cross join judged
         where m.id = w.id and judged.fits
           and (w.attached_type, w.attached_id, w.title, w.description, w.told_captions, w.metadata, w.visibility)
               is distinct from
               (was.attached_type, was.attached_id, was.title, was.description, was.told_captions, was.metadata,
                was.visibility)
        returning m.id, m.upload_id, m.owner_id, m.status
      ), ${logEvents(mediaEvent('changed', 'media.updated', { data: sql`jsonb_build_object('status', status)` }))}
      select (select upload_id from was) as "uploadId", keys, bytes, fits, exists (select from changed) as "isChanged"
        from judged`,
  )
  const { uploadId, keys, bytes, fits, isChanged } = result
  if (uploadId === null) return { kind: 'absent' }
  return fits ? { kind: 'patched', uploadId, isChanged } : { kind: 'too-large', keys, bytes }
}

/** What the metadata begins with, the keys to set, and those to remove. */
function metadataChange(patch: MediaPatch['metadata']) {
  const entries = Object.entries(patch ?? {})
  return {
    base: patch === null ? sql`'{}'::jsonb` : sql`was.metadata`,
    set: Object.fromEntries(entries.filter(([, value]) => value !== null)),
    removed: entries.flatMap(([key, value]) => (value === null ? [key] : [])),
  }
}
