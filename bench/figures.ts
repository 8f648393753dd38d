import type { Case } from './cases.ts'
import type { ClientReport, UploadPlan } from './client/plan.ts'
import type { Figures, Latency, Ratios } from './results.ts'
import { median, medianOfKnown, percentile } from './statistics.ts'

/** What was read of a run, before it is put into units. */
export type Reading = {
  report: ClientReport
  cpuSeconds: number | null
  databaseCpuSeconds: number | null
  peakRss: number | null
}

/** A run's figures, in the units of its case. */
export function figuresOf(per: Case['per'], plan: UploadPlan, reading: Reading): Figures {
  const { seconds, times } = reading.report
  const bytes = plan.uploads * plan.size
  const perUnit = (cpuSeconds: number | null) =>
    cpuSeconds && (per === 'bytes' ? cpuSeconds / (bytes / 1e9) : (cpuSeconds * 1e3) / plan.uploads)
  return {
    rate: (per === 'bytes' ? bytes / 1e6 : plan.uploads) / seconds,
    cpu: perUnit(reading.cpuSeconds),
    databaseCpu: perUnit(reading.databaseCpuSeconds),
    peakRss: reading.peakRss,
    post: latencyOf(times.POST),
    patch: latencyOf(times.PATCH),
  }
}

/** The medians of several runs, figure by figure. */
export function medianFigures(rounds: readonly Figures[]): Figures {
  const latency = (kind: 'post' | 'patch') => ({
    p50: median(rounds.map((figures) => figures[kind].p50)),
    p99: median(rounds.map((figures) => figures[kind].p99)),
  })
  return {
    rate: median(rounds.map(({ rate }) => rate)),
    cpu: medianOfKnown(rounds.map(({ cpu }) => cpu)),
    databaseCpu: medianOfKnown(rounds.map(({ databaseCpu }) => databaseCpu)),
    peakRss: medianOfKnown(rounds.map(({ peakRss }) => peakRss)),
    post: latency('post'),
    patch: latency('patch'),
  }
}

/** Compares round by round, because what ran side by side met the same noise. */
export function ratiosOf(ours: readonly Figures[], peers: readonly Figures[]): Ratios {
  const pairs = ours.flatMap((our, round) => {
    const peer = peers[round]
    return peer ? [{ our, peer }] : []
  })
  const ratio = (our: number | null, peer: number | null) => (our === null || !peer ? null : our / peer)
  return {
    rate: median(pairs.map(({ our, peer }) => our.rate / peer.rate)),
    cpu: medianOfKnown(pairs.map(({ our, peer }) => ratio(our.cpu, peer.cpu))),
    peakRss: medianOfKnown(pairs.map(({ our, peer }) => ratio(our.peakRss, peer.peakRss))),
  }
}

const latencyOf = (times: readonly number[]): Latency => ({
  p50: percentile(times, 50),
  p99: percentile(times, 99),
})
