import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runProgram } from '../../system/programs.ts'

/**
 * Refuses a cluster of another major version of PostgreSQL, whose files this one cannot read: it would only fail with a
 * line in its own log. Fails with an `Error` that says what to do.
 */
export async function refuseOtherMajor(postgres: string, cluster: string, runAs: object): Promise<void> {
  const made = (await readFile(join(cluster, 'PG_VERSION'), 'utf8')).trim()
  // postgres (PostgreSQL) 18.4
  const { stdout } = await runProgram(postgres, ['--version'], runAs)
  const brought = /\b(\d+)(\.|[a-z]|$)/.exec(stdout.replace(/^[^)]*\)/, ''))?.[1]
  if (brought === undefined || brought === made) return
  throw new Error(
    `the embedded database in ${cluster} was created by PostgreSQL ${made}, but this release includes ${brought}: back it up with the release that made it, and restore the backup with this one into an empty DATA_DIR (landfall backup DIR, landfall restore DIR)`,
  )
}
