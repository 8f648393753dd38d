import { access } from 'node:fs/promises'
import { join } from 'node:path'

/** The folder of a `DATA_DIR` in which an unfinished restore works. */
export const RESTORING = 'restoring'

/** Fails where a restore into this directory runs, or was interrupted. */
export async function refuseRestoring(dataDirectory: string): Promise<void> {
  const isThere = await access(join(dataDirectory, RESTORING)).then(
    () => true,
    () => false,
  )
  if (isThere) {
    throw new Error(
      `a restore to ${dataDirectory} is still running or was interrupted: empty the directory and restore again`,
    )
  }
}
