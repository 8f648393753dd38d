import type { Ledger } from '../../ledger/database.ts'
import { storedBytes } from '../../ledger/disk-claims.ts'
import { withStatementTimeout } from '../../ledger/operating-figures.ts'
import { type Disks, lookAtDisks } from '../health/disks.ts'
import { COLLECT_MS, type Collector } from './collector.ts'
import { gauge } from './instruments.ts'

/** Reads a counter of each owner: not with every scrape. */
const STORED_KEPT_MS = 60_000

/** Usage of the disks. */
export function diskCollector(disks: Disks): Collector {
  return {
    name: 'disk',
    async collect(register) {
      const reports = await lookAtDisks(disks)
      const free = gauge(register, 'landfall_disk_free_bytes', 'Free bytes of the file system.', 'place')
      const total = gauge(register, 'landfall_disk_total_bytes', 'Size of the file system in bytes.', 'place')
      for (const { place, freeBytes, totalBytes } of reports) {
        free.set({ place }, freeBytes)
        total.set({ place }, totalBytes)
      }
      const storage = reports.find(({ place }) => place === 'storage')
      const help = 'Bytes that are reserved for accepted uploads and scratch folders.'
      if (storage) gauge(register, 'landfall_disk_reserved_bytes', help).set(storage.reservedBytes)
      if (reports.length < (disks.space ? 2 : 1)) throw new Error('a disk does not say how full it is')
    },
  }
}

/** Bytes of files by the counters of the ledger, without listing anything. */
export function storedCollector(db: Ledger): Collector {
  let known: { bytes: { received: number; open: number }; until: number } | undefined
  return {
    name: 'stored',
    async collect(register) {
      if (!known || performance.now() > known.until)
        known = {
          bytes: await withStatementTimeout(db, COLLECT_MS, storedBytes),
          until: performance.now() + STORED_KEPT_MS,
        }
      const help = 'Bytes of received files and of open uploads, without renditions.'
      const stored = gauge(register, 'landfall_stored_bytes', help, 'of')
      for (const [of, bytes] of Object.entries(known.bytes)) stored.set({ of }, bytes)
    },
  }
}
