import { S3 as S3Client } from '@aws-sdk/client-s3'

export type S3Options = {
  bucket: string
  /** Address of an S3 server other than AWS. */
  endpoint: string | undefined
  region: string
  forcePathStyle: boolean
  /** By default the SDK looks in its usual places. */
  credentials: { accessKeyId: string; secretAccessKey: string; sessionToken?: string } | undefined
  /** Of links to parts, which only put; the same as `credentials` by default. */
  linkCredentials?: { accessKeyId: string; secretAccessKey: string } | undefined
  /** Bytes of memory in which parts are gathered. */
  memoryBudget: number
}

const CONNECT_MS = 5_000
/** Time limit for a call without a byte in either direction. */
const IDLE_MS = 15_000

/** A client of the SDK for at most so many calls at a time. The caller destroys it. */
export function createClient(options: S3Options, maxSockets: number): S3Client {
  return new S3Client({
    region: options.region,
    forcePathStyle: options.forcePathStyle,
    // Many S3 servers do not support the checksums that the SDK adds by default. Bodies are signed with their hash.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // With it every body would wait for a round trip, on a connection of its own.
    expectContinueHeader: false,
    // We retry ourselves, as the SDK cannot send a stream twice.
    maxAttempts: 1,
    // It warns that it cannot retry a failed body; we can.
    logger: QUIET,
    requestHandler: {
      connectionTimeout: CONNECT_MS,
      socketTimeout: IDLE_MS,
      httpAgent: { keepAlive: true, maxSockets },
      httpsAgent: { keepAlive: true, maxSockets },
    },
    ...(options.endpoint === undefined ? {} : { endpoint: options.endpoint }),
    ...(options.credentials === undefined ? {} : { credentials: options.credentials }),
  })
}

const ignore = () => {}
const QUIET = { trace: ignore, debug: ignore, info: ignore, warn: ignore, error: ignore }
