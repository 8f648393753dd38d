import { randomUUID } from 'node:crypto'
import { servedAs } from '../../content/served-as.ts'
import { isAnyBackupRunning } from '../../ledger/backup-lock.ts'
import type { Ledger } from '../../ledger/database.ts'
import type { UploadId } from '../../ledger/ids.ts'
import { findMovable, hasActiveJob, type Movable, serveCopy } from '../../ledger/moves.ts'
import type { Backend } from '../../ledger/storage-places.ts'
import {
  COPY_TTL_MS,
  type EndOfCopying,
  forgetStray,
  type HeldCopy,
  type Hold,
  holdCopy,
  holdForRemoval,
  narrowHold,
  releaseCopyHold,
  renewHold,
} from '../../ledger/stray-copies.ts'
import {
  fillPrefix,
  isRenditionKind,
  RENDITION_NAMES,
  RENDITIONS,
  renditionKey,
  uploadKey,
} from '../store/keys.ts'
import { BytesLost, ObjectMissing } from '../store/objects.ts'
import type { Backends } from '../store/upload-bytes.ts'
import { CopyMismatch, copyObject } from './copy-object.ts'

export type MoveOptions = {
  db: Ledger
  storage: Backends
  /** Templates of the prefixes of storage keys. */
  keyPrefixes: Readonly<Record<Backend, string>>
  /** Queues whose jobs read and make objects of media items. */
  queues: readonly string[]
  signal: AbortSignal
}

export type MoveResult =
  | { kind: 'moved'; bytes: number }
  /** It has ended, or was moved already. */
  | { kind: 'gone' }
  /** A job is running for it: later. */
  | { kind: 'busy' }
  /** Its bytes are not as expected. Nothing was changed. */
  | { kind: 'damaged'; detail: string }

/**
 * Moves a finished file and its renditions to another backend: copies, compares the hashes, and serves the copies from
 * then on. After a crash at any moment it is served completely from one of them; leftovers are recorded for workers to
 * remove, and it can be moved again. Fails where a storage is unavailable or full.
 */
export async function moveUpload(
  options: MoveOptions,
  { uploadId, to }: { uploadId: UploadId; to: Backend },
): Promise<MoveResult> {
  const { db, storage } = options
  const found = await findAssembled(options, uploadId, to)
  if (!('backend' in found)) return found
  const copying: Copying = {
    options,
    found,
    to: { ...keysIn(options, found, to), backend: to },
    copy: { uploadId, backend: to, fence: randomUUID() },
    bytesToCome: bytesOf(found),
  }
  const { copy, bytesToCome: bytes } = copying
  const hold = await storage.enter(to, bytes, () => holdCopy(db, copy, { keys: targetsOf(copying), bytes }))
  return hold ? await moveHeld(copying, hold) : { kind: 'busy' }
}

type Copying = {
  options: MoveOptions
  found: Movable
  to: Keys & { backend: Backend }
  copy: HeldCopy
  bytesToCome: number
}

/** Makes and serves the held copies; releases the hold. */
async function moveHeld(copying: Copying, hold: Hold): Promise<MoveResult> {
  const { options, found, copy, to } = copying
  const { db } = options
  let end: EndOfCopying = 'unbegun'
  try {
    // It may have been moved or changed before it was held.
    const now = await findMovable(db, found.uploadId)
    if (now?.backend === to.backend) {
      await forgetStray(db, copy)
      return { kind: 'gone' }
    }
    // A worker that begins from now on ends our hold.
    if (!isSame(now, found) || (await isAtWorkOn(found, options)) || (await isInBackup(copying, hold))) {
      if (hold.isNew) await forgetStray(db, copy)
      return { kind: 'busy' }
    }
    // A call to a bucket may arrive after we have given up.
    end = to.backend === 's3' ? 'unsure' : 'useless'
    const etag = await whileHeld(copying, async (signal) => {
      await removeOthers(copying, hold, signal)
      return await copyAll(copying, signal)
    })
    end = 'useless'
    const change = { from: found, copy, to: { ...to, etag }, formerKeys: formerKeys(found) }
    return (await serveCopy(db, change)) ? { kind: 'moved', bytes: bytesOf(found) } : { kind: 'busy' }
  } catch (error) {
    if (error instanceof HoldLost) return { kind: 'busy' }
    if (!(error instanceof CopyMismatch) && !(error instanceof ObjectMissing)) throw error
    end = 'useless'
    // It may have been replaced or removed while it was read.
    if (!isSame(await findMovable(db, found.uploadId), found)) return { kind: 'busy' }
    return { kind: 'damaged', detail: error.message }
  } finally {
    await releaseCopyHold(db, copy, end)
  }
}

const isSame = (now: Movable | undefined, found: Movable): boolean =>
  JSON.stringify(now) === JSON.stringify(found)

const isAtWorkOn = async ({ media }: Movable, { db, queues }: MoveOptions): Promise<boolean> =>
  media !== undefined && (await hasActiveJob(db, media.id, queues))

/** Whether a running backup may refer to what would be removed. */
const isInBackup = async (copying: Copying, hold: Hold): Promise<boolean> =>
  copying.to.backend === 'disk' &&
  othersIn(copying, hold).length > 0 &&
  (await isAnyBackupRunning(copying.options.db))

const bytesOf = ({ size, renditions }: Movable): number =>
  renditions.reduce((sum, rendition) => sum + rendition.size, size)

const targetsOf = ({ to }: Pick<Copying, 'to'>): string[] => [
  to.storageKey,
  ...to.renditions.map(({ storageKey }) => storageKey),
]

function othersIn(copying: Copying, { keys }: Hold): string[] {
  const targets = new Set(targetsOf(copying))
  return keys.filter((key) => !targets.has(key))
}

/**
 * Removes copies of the upload that will not be served: of a dead move, or served in the past. Once these copies are
 * served, nothing records the others.
 */
async function removeOthers(copying: Copying, hold: Hold, signal: AbortSignal): Promise<void> {
  const { options, copy, to } = copying
  const others = othersIn(copying, hold)
  if (others.length === 0) return
  const objects = await options.storage.objectsOf({ storage_backend: to.backend })
  for (const key of others) {
    signal.throwIfAborted()
    if (!(await holdForRemoval(options.db, copy))) throw new HoldLost()
    await objects.removeCopy(key)
  }
  if (!(await narrowHold(options.db, copy, targetsOf(copying)))) throw new HoldLost()
}

/** The file as one object in its current backend. */
async function findAssembled(
  { db, storage }: MoveOptions,
  uploadId: UploadId,
  to: Backend,
): Promise<Movable | MoveResult> {
  const found = await findMovable(db, uploadId)
  if (!found || found.backend === to) return { kind: 'gone' }
  if (found.isWhole) return found
  // It has failed, or was deleted, before it was assembled.
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

/** The original keys of the file and its renditions in that backend. A public copy has its own key everywhere. */
function keysIn({ keyPrefixes }: MoveOptions, found: Movable, to: Backend): Keys {
  const names = { owner: found.ownerId, at: found.createdAt }
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

/** All keys that may exist, recorded or not. */
function formerKeys({ storageKey, media, renditions }: Movable): string[] {
  const ofMedia = media && { id: media.id, storage_key: storageKey }
  const made = ofMedia ? RENDITION_NAMES.map((name) => renditionKey(ofMedia, name)) : []
  return [...new Set([storageKey, ...renditions.map((one) => one.storageKey), ...made])]
}

/** Returns the etag of the file. */
async function copyAll(copying: Copying, signal: AbortSignal): Promise<string | null> {
  const { options, found, to: target } = copying
  const from = await options.storage.objectsOf({ storage_backend: found.backend })
  const to = await options.storage.objectsOf({ storage_backend: target.backend })
  const onBytes = (bytes: number) => {
    copying.bytesToCome = Math.max(0, copying.bytesToCome - bytes)
  }
  const etag = await copyObject(
    {
      from: { objects: from, key: found.storageKey, etag: found.media?.etag ?? null },
      to: { objects: to, key: target.storageKey },
      size: found.size,
      sha256: found.sha256,
      servedAs: servedAs(found.media?.contentType ?? null),
      onBytes,
    },
    signal,
  )
  for (const { kind, storageKey: key, size, contentType } of found.renditions) {
    const toKey = target.renditions.find((one) => one.kind === kind)?.storageKey ?? key
    const source = { objects: from, key, etag: null }
    const copy = { objects: to, key: toKey }
    await copyObject(
      { from: source, to: copy, size, sha256: null, servedAs: servedAs(contentType), onBytes },
      signal,
    )
  }
  return etag
}

class HoldLost extends Error {}

/** Runs the work while renewing the hold on its copies, and aborts it when the hold is lost. */
async function whileHeld<Result>(
  copying: Copying,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const { copy, options } = copying
  const lost = new AbortController()
  let heldUntil = performance.now() + COPY_TTL_MS
  const renew = async () => {
    const asked = performance.now()
    try {
      if (await renewHold(options.db, copy, copying.bytesToCome)) heldUntil = asked + COPY_TTL_MS
      else lost.abort(new HoldLost())
    } catch (error) {
      // The database is unavailable for a moment; the hold ends when another process could have it.
      if (performance.now() > heldUntil) lost.abort(new HoldLost('', { cause: error }))
    }
  }
  const timer = setInterval(() => void renew(), COPY_TTL_MS / 6)
  try {
    return await work(AbortSignal.any([options.signal, lost.signal]))
  } catch (error) {
    throw lost.signal.aborted ? lost.signal.reason : error
  } finally {
    clearInterval(timer)
  }
}
