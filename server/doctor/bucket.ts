import { randomUUID } from 'node:crypto'
import { servedAs } from '../../content/served-as.ts'
import { ownerIn } from '../../ledger/ids.ts'
import { S3 } from '../../storage/s3/s3.ts'
import { bodyOf } from '../../storage/s3/s3-body.ts'
import { copyInBucket } from '../../storage/s3/s3-copy.ts'
import { fillPrefix } from '../../storage/store/keys.ts'
import type { Config } from '../config.ts'
import { messageOf } from '../process/message-of.ts'
import { storageOptionsOf } from '../storage-options.ts'
import { clockFindings } from './clock.ts'
import { error, type Finding, ok } from './finding.ts'

/** S3 refuses requests that are signed a quarter of an hour too early or too late. */
const SKEW_LIMIT_MS = 15 * 60_000
const BODY = bodyOf(Buffer.from('written by landfall doctor'))

/** Makes every kind of call that Landfall needs, on objects of its own, and names the first that the bucket refuses. */
export async function checkBucket(config: Config): Promise<readonly Finding[]> {
  const { s3: options } = storageOptionsOf(config)
  if (!options) return []
  const s3 = new S3(options)
  const clockAheadMs = watchClock(s3)
  const keys = keysOf(config)
  const harm = 'the bucket rejects requests that are signed with such a clock'
  const clock = () => clockFindings('the bucket', clockAheadMs(), SKEW_LIMIT_MS, harm)
  try {
    for (const [call, make] of callsOn(s3, keys)) {
      try {
        await make()
      } catch (failure) {
        const text = `storage: bucket ${options.bucket}: ${call} failed: ${withRemedy(failure)}`
        return [error(text), ...clock()]
      }
    }
    return [ok(`storage: bucket ${options.bucket} accepts every call that Landfall makes`), ...clock()]
  } finally {
    await cleanUp(s3, keys).catch(() => {
      // The refusal was reported above.
    })
    s3.close()
  }
}

/** Removes what failed calls have left. */
async function cleanUp(s3: S3, keys: Keys): Promise<void> {
  await s3.remove(Object.values(keys))
  await s3.abortMultiparts(keys.original)
}

type Keys = { original: string; copy: string }

/** Keys as Landfall uses them: a policy may allow nothing else. */
function keysOf(config: Config): Keys {
  const name = `landfall-doctor-${randomUUID()}`
  const owner = { owner: ownerIn(null, 'landfall-doctor'), at: new Date() }
  const original = `${fillPrefix(config.S3_PREFIX, owner)}uploads/${name}`
  const copy =
    config.PUBLISH === 'copy' ? `${fillPrefix(config.PUBLIC_PREFIX, owner)}${name}` : `${original}-copy`
  return { original, copy }
}

type NamedCall = readonly [call: string, make: () => Promise<unknown>]

function callsOn(s3: S3, { original, copy }: Keys): readonly NamedCall[] {
  const plain = servedAs(null)
  let multipart = ''
  let etag = ''
  const begin = async () => {
    multipart = (await s3.createMultipart(original, plain)).id
  }
  const sendPart = async () => {
    etag = await s3.uploadPart(original, multipart, 1, BODY)
  }
  return [
    // First a call whose error has a reason: that of a HEAD has no body.
    ['PutObject', () => s3.put(original, BODY, plain)],
    ['HeadBucket', () => s3.checkReachable()],
    ['HeadObject', () => s3.head(original)],
    ['GetObject', async () => (await s3.open(original, {})).body.destroy()],
    ['CopyObject', () => copyInBucket(s3, original, copy, plain)],
    ['DeleteObject', () => s3.remove([copy])],
    ['CreateMultipartUpload', begin],
    ['UploadPart', sendPart],
    ['ListMultipartUploads', () => s3.openMultiparts(original)],
    ['AbortMultipartUpload', () => s3.abortMultipart(original, multipart)],
    ['CreateMultipartUpload', begin],
    ['UploadPart', sendPart],
    ['ListParts', () => s3.isMultipartOpen(original, multipart)],
    ['CompleteMultipartUpload', () => s3.completeMultipart(original, multipart, [{ partNumber: 1, etag }])],
    ['DeleteObjects', () => s3.remove([original, copy])],
  ]
}

/** Remedies by S3's error codes. */
const REMEDIES: Readonly<Record<string, string>> = {
  AccessDenied: 'the credentials lack the permission: see "A bucket of your own" in docs/deployment.md',
  AuthorizationHeaderMalformed: 'the bucket is in another region: set S3_REGION',
  CredentialsProviderError:
    'no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a role',
  ExpiredToken: 'the credentials have expired: get new ones, with their AWS_SESSION_TOKEN',
  ExpiredTokenException: 'the credentials have expired: get new ones, with their AWS_SESSION_TOKEN',
  InvalidAccessKeyId: 'this AWS_ACCESS_KEY_ID does not exist',
  InvalidToken: 'AWS_SESSION_TOKEN does not belong to the other credentials',
  NoSuchBucket: 'the bucket does not exist: create it, or change S3_BUCKET',
  PermanentRedirect: 'the bucket is in another region: set S3_REGION',
  RequestExpired: 'the clock of this machine or of the bucket is wrong: synchronise both with NTP',
  RequestTimeTooSkewed: 'the clock of this machine or of the bucket is wrong: synchronise both with NTP',
  SignatureDoesNotMatch: 'AWS_SECRET_ACCESS_KEY does not match AWS_ACCESS_KEY_ID',
}

/** The bucket's error code with its remedy; the message of any other error. */
export function withRemedy(failure: unknown): string {
  const cause = failure instanceof Error && failure.cause instanceof Error ? failure.cause : failure
  if (!(cause instanceof Error)) return String(cause)
  const remedy = REMEDIES[cause.name]
  if (remedy !== undefined) return `${cause.name}; ${remedy}`
  return cause.name === 'Error' || cause.name === 'AggregateError'
    ? messageOf(cause)
    : `${cause.name}: ${messageOf(cause)}`
}

/** Reads the bucket's clock from its responses. Returns how far the last one was ahead of ours, in milliseconds. */
function watchClock(s3: S3): () => number {
  let aheadMs = 0
  s3.client.middlewareStack.add(
    (next) => async (args) => {
      const result = await next(args)
      const { headers } = result.response as { headers?: Record<string, string> }
      const date = Date.parse(headers?.date ?? '')
      if (!Number.isNaN(date)) aheadMs = date - Date.now()
      return result
    },
    { step: 'deserialize', name: 'landfallClock', priority: 'low' },
  )
  return () => aheadMs
}
