import { randomUUID } from 'node:crypto'
import type { Ledger } from '../../ledger/database.ts'
import type { UploadId } from '../../ledger/ids.ts'
import { findMovable, isAtWork, type Movable, serveCopy } from '../../ledger/moves.ts'
import type { Backend } from '../../ledger/storage-places.ts'
import { COPY_TTL_MS, type HeldCopy, holdCopy, letGoOfCopy, renewHold } from '../../ledger/stray-copies.ts'
import { fillPrefix, isRenditionKind, RENDITION_NAMES, RENDITIONS, renditionKey, uploadKey } from '../keys.ts'
import { BytesLost, ObjectMissing } from '../objects.ts'
import { servedAs } from '../served-as.ts'
import type { Storage } from '../storage.ts'
import { CopyMismatch, copyObject } from './copy-object.ts'

export type MoveOptions = {
  db: Ledger
  storage: Pick<Storage, 'objectsOf' | 'bytesOf'>
  /** Templates of what storage keys begin with. */
  keyPrefixes: Readonly<Record<Backend, string>>
  /** Queues whose jobs read and make objects of media items. */
  queues: readonly string[]
  signal: AbortSignal
}

export type MoveResult =
  | { kind: 'moved'; bytes: number }
  /** It has ended, or is there already. */
  | { kind: 'gone' }
  /** Somebody is at work on it: later. */
  | { kind: 'busy' }
  /** Its bytes are not what they should be. Nothing was changed. */
  | { kind: 'damaged'; detail: string }

/**
 * Moves a finished file, and all that was made of it, to another backend: copies, compares the hashes, and serves the
 * copies from then on. Killed at any moment, it is served whole from the one or the other; what is left over is written
 * down, for workers to remove, and it can be moved again. Fails as storages do that are away or full.
 */
export async function moveUpload(
  options: MoveOptions,
  { uploadId, to }: { uploadId: UploadId; to: Backend },
): Promise<MoveResult> {
  const { db, storage } = options
  const found = await findAssembled(options, uploadId, to)
  if (!('backend' in found)) return found
  const keys = keysIn(options, found, to)
  const copy: HeldCopy = { uploadId, backend: to, fence: randomUUID() }
  if (!(await holdCopy(db, copy, [keys.storageKey, ...keys.renditions.map((one) => one.storageKey)])))
    return { kind: 'busy' }
  let isOver = false
  try {
    // A worker that begins from now on ends our hold.
    if (found.media && (await isAtWork(db, found.media.id, options.queues))) return { kind: 'busy' }
    const { etag, bytes } = await whileHeld(options, copy, (signal) =>
      copyAll(storage, found, { ...keys, backend: to }, signal),
    )
    const change = { from: found, copy, to: { ...keys, etag }, formerKeys: formerKeys(found) }
    if (!(await serveCopy(db, change))) {
      // Of what has ended meanwhile nothing is to be left.
      isOver = (await findMovable(db, uploadId)) === undefined
      return { kind: 'busy' }
    }
    return { kind: 'moved', bytes }
  } catch (error) {
    if (error instanceof HoldLost) return { kind: 'busy' }
    if (!(error instanceof CopyMismatch) && !(error instanceof ObjectMissing)) throw error
    isOver = true
    // It may have been replaced or removed while it was read.
    const now = await findMovable(db, uploadId)
    if (JSON.stringify(now) !== JSON.stringify(found)) return { kind: 'busy' }
    return { kind: 'damaged', detail: error.message }
  } finally {
    await letGoOfCopy(db, copy, isOver)
  }
}

/** The file as one object, where it rests. */
async function findAssembled(
  { db, storage }: MoveOptions,
  uploadId: UploadId,
  to: Backend,
): Promise<Movable | MoveResult> {
  const found = await findMovable(db, uploadId)
  if (!found || found.backend === to) return { kind: 'gone' }
  if (found.isWhole) return found
  // One that failed, or was deleted, before its processing has put it together.
  try {
    const bytes = await storage.bytesOf({ storage_backend: found.backend })
    await bytes.assemble(uploadId)
  } catch (error) {
    if (error instanceof BytesLost) return { kind: 'damaged', detail: error.message }
    throw error
  }
  const assembled = await findMovable(db, uploadId)
  return assembled?.isWhole && assembled.backend === found.backend ? assembled : { kind: 'busy' }
}

type Keys = { storageKey: string; renditions: { kind: string; storageKey: string }[] }

/** Where the file and what was made of it would be from the beginning. A public copy has its own place everywhere. */
function keysIn({ keyPrefixes }: MoveOptions, found: Movable, to: Backend): Keys {
  const names = { owner: found.ownerId, tenant: found.tenantId, at: found.createdAt }
  const storageKey = uploadKey(found.uploadId, fillPrefix(keyPrefixes[to], names))
  return {
    storageKey,
    renditions: found.renditions.map(({ kind, storageKey: key }) => ({
      kind,
      storageKey:
        found.media && isRenditionKind(kind)
          ? renditionKey({ id: found.media.id, storage_key: storageKey }, RENDITIONS[kind])
          : key,
    })),
  }
}

/** All that may be there, be it recorded or not. */
function formerKeys({ storageKey, media, renditions }: Movable): string[] {
  const ofMedia = media && { id: media.id, storage_key: storageKey }
  const made = ofMedia ? RENDITION_NAMES.map((name) => renditionKey(ofMedia, name)) : []
  return [...new Set([storageKey, ...renditions.map((one) => one.storageKey), ...made])]
}

async function copyAll(
  storage: MoveOptions['storage'],
  found: Movable,
  target: Keys & { backend: Backend },
  signal: AbortSignal,
): Promise<{ etag: string | null; bytes: number }> {
  const from = await storage.objectsOf({ storage_backend: found.backend })
  const to = await storage.objectsOf({ storage_backend: target.backend })
  const etag = await copyObject(
    {
      from: { objects: from, key: found.storageKey, etag: found.media?.etag ?? null },
      to: { objects: to, key: target.storageKey },
      size: found.size,
      sha256: found.sha256,
      servedAs: servedAs(found.media?.contentType ?? null),
    },
    signal,
  )
  let bytes = found.size
  for (const { kind, storageKey: key, size, contentType } of found.renditions) {
    const toKey = target.renditions.find((one) => one.kind === kind)?.storageKey ?? key
    const source = { objects: from, key, etag: null }
    const copy = { objects: to, key: toKey }
    await copyObject({ from: source, to: copy, size, sha256: null, servedAs: servedAs(contentType) }, signal)
    bytes += size
  }
  return { etag, bytes }
}

class HoldLost extends Error {}

/** Does the work while the hold on its copies is renewed; it ends with the hold. */
async function whileHeld<Result>(
  { db, signal }: Pick<MoveOptions, 'db' | 'signal'>,
  copy: HeldCopy,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const lost = new AbortController()
  let heldUntil = performance.now() + COPY_TTL_MS
  const renew = async () => {
    const asked = performance.now()
    try {
      if (await renewHold(db, copy)) heldUntil = asked + COPY_TTL_MS
      else lost.abort(new HoldLost())
    } catch (error) {
      // The database is away for a moment; once the hold may be another's it is over.
      if (performance.now() > heldUntil) lost.abort(new HoldLost('', { cause: error }))
    }
  }
  const timer = setInterval(() => void renew(), COPY_TTL_MS / 6)
  try {
    return await work(AbortSignal.any([signal, lost.signal]))
  } catch (error) {
    throw lost.signal.aborted ? lost.signal.reason : error
  } finally {
    clearInterval(timer)
  }
}
