import { resolve } from 'node:path'
import type { Ledger } from '../../ledger/database.ts'
import { DiskObjects } from '../../storage/disk/disk-objects.ts'
import { DiskSpace } from '../../storage/disk/disk-space.ts'
import { FileSystem } from '../../storage/disk/file-system.ts'
import type { Config } from '../config.ts'
import { type DiskReport, LOW_DISK, lookAtDisks } from '../health/disks.ts'
import { storageOptionsOf } from '../storage-options.ts'
import { type Finding, ok, warning } from './finding.ts'

const GIB = 1024 ** 3

/** Free and promised space of the disks of storage and scratch folders. */
export async function checkDisks(config: Config, db: Ledger): Promise<Finding[]> {
  const options = storageOptionsOf(config)
  const reports = await lookAtDisks({
    space:
      options.primary === 'disk'
        ? new DiskSpace({
            db,
            objects: new DiskObjects(options.disk.directory),
            fileSystem: new FileSystem(options.disk.directory),
            scratch: resolve(config.DATA_DIR, 'scratch'),
          })
        : undefined,
    scratch: new FileSystem(resolve(config.DATA_DIR)),
  })
  return reports.map((report) => {
    const text = `disk of ${report.place}: ${inWords(report)}`
    return report.isLow ? warning(`${text}. ${LOW_DISK[report.place]}`) : ok(text)
  })
}

function inWords({ place, freeBytes, totalBytes, reservedBytes }: DiskReport): string {
  const reserved = place === 'storage' ? `, ${gib(reservedBytes)} reserved for open uploads` : ''
  return `${gib(freeBytes)} of ${gib(totalBytes)} free${reserved}`
}

const gib = (bytes: number): string => `${(bytes / GIB).toFixed(1)} GiB`
