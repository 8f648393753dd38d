import type { ClamdAddress } from '../config.ts'
import { clamdVersion, signaturesOf } from '../health/clamd-link.ts'
import { COLLECT_MS, type Collector } from './collector.ts'
import { gauge } from './instruments.ts'

/** Whether clamd answers, and its database. A test database has neither version nor age. */
export function scannerCollector(clamd: ClamdAddress): Collector {
  return {
    name: 'scanner',
    async collect(register) {
      const up = gauge(register, 'landfall_scanner_up', '1 if clamd answers.')
      // No answer is a figure as well.
      const version = await clamdVersion(clamd, COLLECT_MS - 100).catch(() => undefined)
      up.set(version === undefined ? 0 : 1)
      const signatures = version === undefined ? undefined : signaturesOf(version)
      if (!signatures) return
      const help = 'Version of the official signature database.'
      gauge(register, 'landfall_scanner_signature_version', help).set(signatures.version)
      const ageSeconds = Math.max(0, Date.now() - signatures.publishedAt.getTime()) / 1000
      const aged = 'Age of the official signature database.'
      gauge(register, 'landfall_scanner_signature_age_seconds', aged).set(ageSeconds)
    },
  }
}
