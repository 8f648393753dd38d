import { join } from 'node:path'
import { pathExists } from '../../system/path-exists.ts'

/** The folder of a `DATA_DIR` in which an unfinished restore works. */
export const RESTORING = 'restoring'

/** Fails where a restore into this directory runs, or was interrupted. */
export async function refuseRestoring(dataDirectory: string): Promise<void> {
  if (await pathExists(join(dataDirectory, RESTORING))) {
    throw new Error(
      `a restore to ${dataDirectory} is still running or was interrupted: empty the directory and restore again`,
    )
  }
}
