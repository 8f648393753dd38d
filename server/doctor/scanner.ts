import { clamdVersion, hasOfficialSignatures } from '../clamd-link.ts'
import type { Config } from '../config.ts'
import { TEST_SIGNATURES_WARNING } from '../readiness.ts'
import type { Finding } from './finding.ts'

export async function checkClamd(config: Config): Promise<Finding[]> {
  if (config.SCAN === 'off') return [{ level: 'warning', text: 'clamd: SCAN=off, files are not scanned' }]
  try {
    const version = await clamdVersion(config.CLAMD_URL, 3_000)
    return [
      { level: 'ok', text: `clamd: ${version}` },
      ...(hasOfficialSignatures(version)
        ? []
        : [{ level: 'warning', text: `clamd: ${TEST_SIGNATURES_WARNING}` } as const]),
    ]
  } catch {
    return [
      {
        level: 'warning',
        text: 'clamd: does not answer now; serve starts one when the address is on this machine',
      },
    ]
  }
}
