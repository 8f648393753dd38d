import { join } from 'node:path'
import { startS3Proxy } from '../test/support/s3-proxy.ts'
import { assembleAll } from './assemble.ts'
import type { Case } from './cases.ts'
import { runClient } from './client/client.ts'
import type { UploadPlan } from './client/plan.ts'
import type { CallCount } from './results.ts'
import type { Bucket } from './services/bucket.ts'
import type { DatabaseServer } from './services/database.ts'
import type { Store } from './services/store.ts'
import { startLandfall, thisCheckout } from './subjects/landfall.ts'
import type { Peer } from './subjects/peers.ts'
import type { SubjectPlace } from './subjects/place.ts'
import type { Subject, SubjectName } from './subjects/subject.ts'

type CountOptions = {
  case: Case
  isQuick: boolean
  directory: string
  store: Store
  database: DatabaseServer
  peers: readonly Peer[]
  settings: Record<string, string>
  signal: AbortSignal
}

/** One of those that are counted. */
type Counted = {
  name: SubjectName
  start(place: SubjectPlace): Promise<Subject>
  /** What it does about received uploads outside of requests. */
  afterwards(bucket: Bucket, uploadIds: readonly string[]): Promise<void>
}

/**
 * Counts the S3 calls of a case in a small pass of its own: the proxy that counts stands in the way, so
 * nothing is timed here.
 */
export async function countCalls(options: CountOptions): Promise<Partial<Record<SubjectName, CallCount>>> {
  const { peers, settings } = options
  const database = await options.database.fresh()
  const landfall: Counted = {
    name: 'landfall',
    start: (place) => startLandfall(place, thisCheckout(database), settings),
    afterwards: (bucket, uploadIds) => assembleAll(bucket, database.url, uploadIds),
  }
  const counts: Partial<Record<SubjectName, CallCount>> = {}
  for (const peer of peers)
    counts[peer.name] = await countOf(options, { ...peer, afterwards: async () => {} })
  counts.landfall = await countOf(options, landfall)
  return counts
}

async function countOf(options: CountOptions, counted: Counted): Promise<CallCount> {
  const { case: which, directory, store, signal } = options
  const plan = options.isQuick ? which.quick : which.counted
  const { bucket, ...place } = await store.place(join(directory, `${counted.name}-counted`))
  if (!bucket) throw new Error('calls are counted on S3 only')
  const proxy = await startS3Proxy(bucket.endpoint)
  try {
    const watched: Bucket = { ...bucket, endpoint: proxy.url }
    const subject = await counted.start({ ...place, bucket: watched })
    try {
      proxy.reset()
      const { uploadIds } = await runClient({ url: subject.url, headers: subject.headers, plan }, signal)
      await counted.afterwards(watched, uploadIds)
    } finally {
      await subject.stop()
    }
    const kinds = proxy.calls.map(({ operation }) => operation)
    return summed(kinds, which.operation === 'file' ? plan.uploads : patchesOf(plan))
  } finally {
    await proxy.close()
  }
}

const patchesOf = ({ uploads, size, requestSize }: UploadPlan): number =>
  uploads * Math.ceil(size / requestSize)

function summed(kinds: readonly string[], operations: number): CallCount {
  const grouped = Object.entries(Object.groupBy(kinds, (kind) => kind))
  return {
    operations,
    perOperation: kinds.length / operations,
    byKind: Object.fromEntries(grouped.map(([kind, all = []]) => [kind, all.length / operations])),
  }
}
