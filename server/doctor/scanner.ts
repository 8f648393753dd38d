import { SYSTEM_PATH } from '../../system/system-path.ts'
import type { Config } from '../config.ts'
import { findClamd } from '../embedded/clamd.ts'
import { findServersClamd } from '../embedded/clamd-records.ts'
import { clamdVersion, hasOfficialSignatures } from '../health/clamd-link.ts'
import { TEST_SIGNATURES_WARNING } from '../health/readiness.ts'
import { error, type Finding, ok, warning } from './finding.ts'

/** The clamd of `CLAMD_URL`, or of the server on this `DATA_DIR`. */
export async function checkClamd(config: Config, path: string = SYSTEM_PATH): Promise<Finding[]> {
  if (config.SCAN === 'off') return [warning('clamd: SCAN=off, files are not scanned')]
  const address = config.CLAMD_URL ?? (await findServersClamd(config.DATA_DIR))
  if (address === undefined) return [await checkOwnClamd(path)]
  const place =
    'socketPath' in address
      ? `unix:${address.socketPath}`
      : `tcp://${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`
  const which = config.CLAMD_URL === undefined ? `the server's own, ${place}` : `${place} (CLAMD_URL)`
  try {
    const version = await clamdVersion(address, 3_000)
    const isForTests = !hasOfficialSignatures(version)
    return [
      ok(`clamd: ${which}: ${version}`),
      ...(isForTests ? [warning(`clamd: ${TEST_SIGNATURES_WARNING}`)] : []),
    ]
  } catch {
    return [warning(`clamd: ${which}: does not answer; files wait until it does`)]
  }
}

/** Without `CLAMD_URL`, and without a running server. */
async function checkOwnClamd(path: string): Promise<Finding> {
  const program = await findClamd(path)
  return program === undefined
    ? error(
        'clamd: is not installed and CLAMD_URL is not set: files would be neither scanned nor served (SCAN=off turns scanning off)',
      )
    : ok(`clamd: is not running; serve starts ${program} on a socket below DATA_DIR`)
}
