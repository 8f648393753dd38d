import { randomBytes } from 'node:crypto'
import { servedAs } from '../content/served-as.ts'
import type { Ledger } from '../ledger/database.ts'
import {
  type Backend,
  countStored,
  type Held,
  isBackendInUse,
  markerOf,
  recordMarker,
  sampleKeys,
} from '../ledger/storage-places.ts'
import { ObjectMissing, type Objects } from './store/objects.ts'

// A place is one directory or one bucket. The ledger recognises it by an object in it, its marker: the same name, or
// setting, may lead elsewhere tomorrow.

/** The settings do not lead to bytes that the ledger needs. Nothing was changed; the message says what to set. */
export class StorageChanged extends Error {
  override readonly name = 'StorageChanged'
}

/** The setting of a place, for messages. */
export type PlaceName = { setting: 'DATA_DIR' | 'S3_BUCKET'; value: string; shown: string }

export type Place = { backend: Backend; objects: Objects; name: PlaceName; markerPrefix: string }

const SAMPLES = 3

/**
 * Verifies that this is the place that the ledger means. A new place, or one that holds nothing needed, gets a marker;
 * so does that of a release without markers, if it has a known file. Fails with `StorageChanged` when the ledger needs
 * another place, and as a storage does that is unavailable.
 */
export async function verifyPlace(db: Ledger, place: Place): Promise<void> {
  const { backend, objects } = place
  for (;;) {
    const former = await markerOf(db, backend)
    if (former !== undefined && (await objects.sizeOf(former)) !== undefined) return
    if (await isBackendInUse(db, backend)) {
      if (former !== undefined || !(await hasSample(db, place))) throw await changed(db, place, former)
    }
    const key = `${place.markerPrefix}${MARKER}${randomBytes(12).toString('hex')}`
    // Stored before it is recorded: a crash in between leaves only a small unused object.
    await objects.put(key, Buffer.from(MARKER_TEXT), servedAs('text/plain'))
    if (await recordMarker(db, backend, { former, key })) {
      if (former !== undefined) await objects.remove(former)
      return
    }
    await objects.remove(key)
  }
}

const MARKER = 'landfall-storage-'
const MARKER_TEXT = 'By this a Landfall recognises where its files are. Keep it with them.\n'

async function hasSample(db: Ledger, { backend, objects }: Place): Promise<boolean> {
  const keys = await sampleKeys(db, backend, SAMPLES)
  if (keys.length === 0) return true
  for (const key of keys) {
    try {
      if ((await objects.sizeOf(key)) !== undefined) return true
    } catch (error) {
      if (!(error instanceof ObjectMissing)) throw error
    }
  }
  return false
}

async function changed(
  db: Ledger,
  { backend, name }: Place,
  marker: string | undefined,
): Promise<StorageChanged> {
  const what = describeStored(await countStored(db, backend))
  const other = backend === 'disk' ? 'another directory' : 'another bucket'
  const sign = marker === undefined ? 'has none of them' : `has no ${marker}`
  return new StorageChanged(
    `${name.setting}: "${name.value}" is not accepted; the database needs ${what} in ${other}, and ${name.shown} ${sign}: set ${name.setting} to where they are; nothing was changed`,
  )
}

/** The error for files in a bucket when none is configured. */
export async function bucketMissing(db: Ledger): Promise<StorageChanged> {
  const what = describeStored(await countStored(db, 's3'))
  return new StorageChanged(
    `S3_BUCKET: "" is not accepted; the database needs ${what} in a bucket: set S3_BUCKET and what else leads there, also with STORAGE=disk, and move them by "landfall move --to disk"; nothing was changed`,
  )
}

/** Such as "2 media items and 1 open upload". */
export function describeStored({ mediaItems, openUploads, removals, copies }: Held): string {
  const parts = [
    counted(mediaItems, 'media item'),
    counted(openUploads, 'open upload'),
    counted(removals, 'ended upload', ' to be removed'),
    counted(copies, 'moved file', ' of which a former copy is to be removed'),
  ].filter((part) => part !== undefined)
  return [parts.slice(0, -1).join(', '), parts.at(-1)].filter(Boolean).join(' and ') || 'files'
}

const counted = (count: number, one: string, more = ''): string | undefined =>
  count === 0 ? undefined : `${count} ${one}${count === 1 ? '' : 's'}${more}`
