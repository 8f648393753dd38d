import { type S3Access, startCeph, type TestS3 } from '../../test/services/ceph.ts'
import { requires } from '../../test/services/requirements.ts'
import type { SubjectPlace } from '../subjects/place.ts'
import { createBuckets } from './bucket.ts'

/** What subjects store on. */
export type Store = {
  /** A place that nobody else has; files beside the bucket go below `directory`. */
  place(directory: string): Promise<SubjectPlace>
  /** Empties every bucket. */
  renew(): Promise<void>
  stop(): Promise<void>
}

/** The file system. */
export const diskStore: Store = {
  place: async (directory) => ({ directory, bucket: null }),
  renew: async () => {},
  stop: async () => {},
}

/** Why the S3 cases cannot run here; undefined when they can. */
export function lackForS3(): string | undefined {
  const ceph = requires('ceph')
  return ceph.met ? undefined : `the S3 cases need Ceph: ${ceph.reason}`
}

/**
 * A Ceph gateway that keeps everything in memory, with a bucket for each place. To empty them it is started
 * anew under the same address: what is deleted the ordinary way is collected later, in the midst of the next
 * run, and the memory of two large runs is more than it has.
 */
export async function startS3Store(directory: string, signal: AbortSignal): Promise<Store> {
  const names: string[] = []
  let ceph: TestS3 | undefined = await startCeph(directory, { signal })
  const { endpoint, region, accessKeyId, secretAccessKey, links } = ceph
  const access: S3Access = { endpoint, region, accessKeyId, secretAccessKey, links }
  const stop = async () => {
    await ceph?.stop()
    ceph = undefined
  }
  return {
    async place(placeDirectory) {
      const name = `bench-${names.length}`
      await createBuckets(access, [name])
      names.push(name)
      return { directory: placeDirectory, bucket: { ...access, name } }
    },
    async renew() {
      await stop()
      ceph = await startCeph(directory, { access, signal })
      await createBuckets(access, names)
    },
    stop,
  }
}
