import { relative } from 'node:path'
import type { ProvidedContext } from 'vitest'
import type { TestProject } from 'vitest/node'
import type { S3Access } from './ceph.ts'
import { servicesOf } from './test-kinds.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** A database of the run's PostgreSQL from which others can be made. */
    postgresUrl: string
    /** Name of a migrated database to copy. */
    postgresTemplate: string
    /** `CLAMD_URL` of a clamd that knows the EICAR test file; nothing listens there without clamd. */
    clamdUrl: string
    /** The S3 gateway, which may still be starting: `freshBucket()` waits for it. Null where Ceph is missing, or no file of the run needs it. */
    s3: S3Access | null
    /** Tells how its start went; see `CephStatus`. */
    s3StatusFile: string
  }
}

export type Provided = Pick<
  ProvidedContext,
  'postgresUrl' | 'postgresTemplate' | 'clamdUrl' | 's3' | 's3StatusFile'
>

/**
 * Starts the services that the selected files need, once for the run; none for unit tests. Every test file copies a
 * database of its own and makes its own buckets.
 */
export default async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  const { root } = project.config
  const { postgres, ceph } = servicesOf(project.vitest.state.getPaths().map((path) => relative(root, path)))
  if (!postgres) return undefined
  // Loads most of Landfall, which unit tests do not wait for.
  const { startServices } = await import('./start-services.ts')
  const services = await startServices({ ceph })
  for (const [name, value] of Object.entries(services.provided))
    project.provide(name as keyof Provided, value)
  return services.stop
}
