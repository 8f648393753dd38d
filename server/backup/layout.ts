import { z } from 'zod'

// The files of a backup: a folder that `sha256sum -c files.sha256` can check.

/** Written last: a folder without it is not a complete backup. */
export const MANIFEST = 'manifest.json'
/** Every other file, in the format of `sha256sum`. */
export const CHECKSUMS = 'files.sha256'
export const JOBS = 'jobs.json'
export const OBJECTS = 'objects'
export const DEVELOPMENT_SECRET = 'development-secret'

export const tableFile = (table: string): string => `tables/${table}.jsonl.gz`

export const FORMAT = 1

export const manifestSchema = z.object({
  format: z.literal(FORMAT),
  /** ISO 8601: the moment of the database dump. */
  takenAt: z.string(),
  migrations: z.array(z.string()).min(1),
  rows: z.record(z.string(), z.number()),
  /** Where the bytes are; those in a bucket are not copied. */
  storage: z.object({ kind: z.enum(['disk', 's3']), bucket: z.string().nullable() }),
  objects: z.object({ count: z.number(), bytes: z.number(), goneMeanwhile: z.number() }),
  /** Of the list of checksums. */
  checksumsSha256: z.string(),
})

export type Manifest = z.infer<typeof manifestSchema>
