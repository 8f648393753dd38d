import type { Case, StorageKind } from './cases.ts'
import type { UploadPlan } from './client/plan.ts'
import type { Machine } from './machine.ts'
import type { RivalName, SubjectName } from './subjects/subject.ts'

/** Milliseconds. */
export type Latency = { p50: number; p99: number }

/** What one run gave, or the medians of several. What the machine does not tell is null. */
export type Figures = {
  /** MB/s, or files a second, by what the case counts. */
  rate: number
  /** CPU of the server process: seconds per GB, or milliseconds per file. */
  cpu: number | null
  /** CPU of the database beside it, in the same unit; null where there is none. */
  databaseCpu: number | null
  /** Bytes. */
  peakRss: number | null
  post: Latency
  patch: Latency
}

/** Landfall's figure over that of another: the median of the rounds. */
export type Ratios = { rate: number; cpu: number | null; peakRss: number | null }

/** S3 calls, of which `operations` requests or files made so many each. */
export type CallCount = { operations: number; perOperation: number; byKind: Record<string, number> }

export type SubjectResult = { rounds: Figures[]; median: Figures; calls: CallCount | null }

export type CaseResult = Pick<Case, 'name' | 'per' | 'operation'> & {
  /** As a report calls it. */
  title: string
  storage: StorageKind
  plan: UploadPlan
  subjects: Partial<Record<SubjectName, SubjectResult>>
  /** Why a subject has no result: it did not get through the case. */
  failures: Partial<Record<SubjectName, string>>
  /** Landfall over each of the others, where both have a result. */
  ratios: Partial<Record<RivalName, Ratios>>
}

export type Results = {
  date: string
  machine: Machine
  /** Packages compared, by name. */
  versions: Record<string, string>
  cases: CaseResult[]
  /** What was not measured, and why. */
  skipped: string[]
}
