import { Gauge } from 'prom-client'
import type { ClamdAddress } from '../config.ts'
import { clamdVersion, signaturesOf } from '../health/clamd-link.ts'
import { COLLECT_MS, type Collector } from './collector.ts'

/** Whether clamd answers, and its database. A test database has neither version nor age. */
export function scannerCollector(clamd: ClamdAddress): Collector {
  return {
    name: 'scanner',
    async collect(register) {
      const registers = [register]
      const up = new Gauge({ name: 'landfall_scanner_up', help: '1 if clamd answers.', registers })
      // No answer is a figure as well.
      const version = await clamdVersion(clamd, COLLECT_MS - 100).catch(() => undefined)
      up.set(version === undefined ? 0 : 1)
      const signatures = version === undefined ? undefined : signaturesOf(version)
      if (!signatures) return
      new Gauge({
        name: 'landfall_scanner_signature_version',
        help: 'Version of the official signature database.',
        registers,
      }).set(signatures.version)
      new Gauge({
        name: 'landfall_scanner_signature_age_seconds',
        help: 'Age of the official signature database.',
        registers,
      }).set(Math.max(0, Date.now() - signatures.publishedAt.getTime()) / 1000)
    },
  }
}
