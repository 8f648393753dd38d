import { setTimeout as sleep } from 'node:timers/promises'
import { execa } from 'execa'
import { runClient } from './client/client.ts'
import type { UploadPlan } from './client/plan.ts'
import type { Reading } from './figures.ts'
import { cpuSeconds, treeCpuSeconds, watchPeakRss } from './proc.ts'
import type { Store } from './services/store.ts'
import type { Subject } from './subjects/subject.ts'

/** What a server still does about the last run is over by then. */
const SETTLE_MS = 300

export type Surroundings = { store: Store; signal: AbortSignal }

/** One run of a plan against a subject, from an empty store. */
export async function measure(
  subject: Subject,
  plan: UploadPlan,
  { store, signal }: Surroundings,
): Promise<Reading> {
  await subject.removeFiles()
  await store.renew()
  // Writes that an earlier run left to the kernel must not fall into this one.
  if (process.platform !== 'win32') await execa('sync', { cancelSignal: signal })
  await sleep(SETTLE_MS, undefined, { signal })
  const { databasePid } = subject
  const memory = watchPeakRss(subject.pid)
  const before = [cpuSeconds(subject.pid), databasePid ? treeCpuSeconds(databasePid) : null] as const
  try {
    const report = await runClient({ url: subject.url, headers: subject.headers, plan }, signal)
    return {
      report,
      cpuSeconds: difference(before[0], cpuSeconds(subject.pid)),
      databaseCpuSeconds: difference(before[1], databasePid ? treeCpuSeconds(databasePid) : null),
      peakRss: memory.stop(),
    }
  } finally {
    memory.stop()
  }
}

const difference = (before: number | null, after: number | null): number | null =>
  before === null || after === null ? null : after - before
