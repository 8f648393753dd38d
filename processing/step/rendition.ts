import { stat } from 'node:fs/promises'
import { servedAs } from '../../content/served-as.ts'
import { findRendition, recordRendition, StorageBackendChanged } from '../../ledger/media.ts'
import type { EventType } from '../../ledger/schema.ts'
import { RENDITIONS, type RenditionKind, renditionKey } from '../../storage/store/keys.ts'
import { ToolFailed, UnreadableInput } from '../tools/tool-errors.ts'
import type { StepContext } from './step.ts'

type Description = {
  kind: RenditionKind
  contentType: string
  /** Pixels; null for what is no picture. */
  width: number | null
  height: number | null
  /** Written in the transaction that records it, where there was none of this kind. */
  event?: EventType
}
export type Rendition = Description & { data: Uint8Array }
export type RenditionFile = Description & { path: string }

type Store = Pick<StepContext, 'media' | 'objects' | 'db'>

/**
 * Stores a rendition and notes it in the ledger. Doing it again changes nothing. Returns false when the media has
 * ended meanwhile, so that nothing is left of it.
 */
export async function storeRendition(context: Store, { data, ...rendition }: Rendition): Promise<boolean> {
  return await store(context, rendition, data.byteLength, (key) =>
    context.objects.put(key, data, servedAs(rendition.contentType)),
  )
}

/** The same with a file, which may be large. Fails with `ObjectTooLarge` where it is too large for the storage. */
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
    width,
    height,
    size,
  }
  try {
    if (await recordRendition(db, row, event)) return true
  } catch (error) {
    if (error instanceof StorageBackendChanged) await objects.remove(key)
    throw error
  }
  // The media has ended meanwhile, so nobody will look at this; unless it is another worker's as well,
  // recorded before. Not done, it goes with the rest of the media.
  if (!(await findRendition(db, media, kind))) await objects.remove(key)
  return false
}

/**
 * Whether a tool could make nothing of this file, in the time that it had: the file goes without. An outage is
 * none of it, and neither is being told to stop.
 */
export function isToolFailure(error: unknown, signal: AbortSignal): error is Error {
  return !signal.aborted && (error instanceof UnreadableInput || error instanceof ToolFailed)
}
