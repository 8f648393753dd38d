import { stat } from 'node:fs/promises'
import { servedAs } from '../../content/served-as.ts'
import type { EventType } from '../../ledger/event-types.ts'
import { findRendition, recordRendition, StorageBackendChanged } from '../../ledger/media.ts'
import { RENDITIONS, type RenditionKind, renditionKey } from '../../storage/store/keys.ts'
import type { StepContext } from './step.ts'

type Description = {
  kind: RenditionKind
  contentType: string
  /** Pixels; without them it is not a picture. */
  width?: number
  height?: number
  /** Recorded in the same transaction, where there was no rendition of this kind. */
  event?: EventType
}
export type Rendition = Description & { data: Uint8Array }
export type RenditionFile = Description & { path: string }

type Store = Pick<StepContext, 'media' | 'objects' | 'db'>

/**
 * Stores a rendition and records it. Idempotent. Returns false when the media item has ended in the meantime; then
 * nothing of it is left.
 */
export async function storeRendition(context: Store, { data, ...rendition }: Rendition): Promise<boolean> {
  return await store(context, rendition, data.byteLength, (key) =>
    context.objects.put(key, data, servedAs(rendition.contentType)),
  )
}

/** The same for a file, which may be large. Fails with `ObjectTooLarge` where it is too large for the storage. */
export async function storeRenditionFile(
  context: Store & Pick<StepContext, 'signal'>,
  { path, ...rendition }: RenditionFile,
): Promise<boolean> {
  const { size } = await stat(path)
  return await store(context, rendition, size, (key) =>
    context.objects.putFile(key, path, servedAs(rendition.contentType), context.signal),
  )
}

async function store(
  { media, objects, db }: Store,
  { kind, contentType, width, height, event }: Description,
  size: number,
  put: (key: string) => Promise<void>,
): Promise<boolean> {
  const key = renditionKey(media, RENDITIONS[kind])
  await put(key)
  const { storage_backend } = media
  const row = {
    storage_backend,
    media_id: media.id,
    kind,
    storage_key: key,
    content_type: contentType,
    width: width ?? null,
    height: height ?? null,
    size,
  }
  try {
    if (await recordRendition(db, row, event)) return true
  } catch (error) {
    if (error instanceof StorageBackendChanged) await objects.remove(key)
    throw error
  }
  // The media item has ended: remove it, unless another worker recorded the same before. If this fails, the removal of
  // the media item includes it.
  if (!(await findRendition(db, media, kind))) await objects.remove(key)
  return false
}
