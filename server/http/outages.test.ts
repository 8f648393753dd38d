import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { NoSuchKey } from '@aws-sdk/client-s3'
import pg from 'pg'
import { describe, expect, it } from 'vitest'
import { servedAs } from '../../content/served-as.ts'
import { translateDiskError } from '../../storage/disk/disk-objects.ts'
import { S3 } from '../../storage/s3/s3.ts'
import { ObjectMissing, StorageUnavailable } from '../../storage/store/objects.ts'
import { problemOf } from './problem-renderer.ts'

const said = (code: string) => Object.assign(new pg.DatabaseError('', 0, 'error'), { code })
const network = (code: string) => Object.assign(new Error(code), { code })

describe('an error of the database', () => {
  it.each([
    ['a read-only transaction', '25006'],
    ['an idle transaction that was ended', '25P03'],
    ['a transaction that took too long', '25P04'],
    ['a statement of a failed transaction', '25P02'],
    ['a statement timeout', '57014'],
    ['a lock timeout', '55P03'],
    ['a serialization failure', '40001'],
    ['a deadlock', '40P01'],
    ['an administrator', '57P01'],
    ['a crash', '57P02'],
    ['a start', '57P03'],
    ['a database that was dropped', '57P04'],
    ['too many connections', '53300'],
    ['a full disk', '53100'],
    ['no memory', '53200'],
    ['a connection failure', '08006'],
    ['a pooler', '08P01'],
    ['an I/O error', '58030'],
    ['a password that was changed', '28P01'],
    ['a right that was taken', '42501'],
    ['a database that is not there', '3D000'],
  ])('is an outage for %s', (_what, code) => {
    const problem = problemOf(said(code))
    expect(problem.code).toBe('unavailable')
    expect(Number(problem.headers['Retry-After'])).toBeGreaterThan(0)
  })

  it.each(['23505', '42P01', '42601', '22P02', '22003', '0A000', 'XX000', 'P0001'])(
    'is a mistake of ours for %s',
    (code) => {
      expect(problemOf(said(code)).code).toBe('internal-error')
    },
  )

  it.each([
    'Connection terminated unexpectedly',
    'Connection terminated due to connection timeout',
    'timeout exceeded when trying to connect',
    'timeout expired',
    'Query read timeout',
    'Client has encountered a connection error and is not queryable',
    'Client was closed and is not queryable',
    'Cannot use a pool after calling end on the pool',
    'driver has already been destroyed',
    'Postgres connection has been discarded',
  ])('of a connection that is no more is an outage: %s', (message) => {
    expect(problemOf(new Error(message)).code).toBe('unavailable')
  })

  it.each([
    'ECONNREFUSED',
    'ECONNRESET',
    'EPIPE',
    'ETIMEDOUT',
    'EAI_AGAIN',
    'EHOSTUNREACH',
    'ENETUNREACH',
    'EMFILE',
  ])('of the network is an outage: %s', (code) => {
    expect(problemOf(network(code)).code).toBe('unavailable')
  })
})

describe('an answer of the bucket', () => {
  // Side by side, as each is tried again after a while.
  it.concurrent.each([
    [403, 'AccessDenied'],
    [403, 'InvalidAccessKeyId'],
    [403, 'SignatureDoesNotMatch'],
    [400, 'ExpiredToken'],
    [400, 'InvalidToken'],
    [403, 'RequestTimeTooSkewed'],
    [404, 'NoSuchBucket'],
    [301, 'PermanentRedirect'],
    [400, 'AuthorizationHeaderMalformed'],
    [503, 'SlowDown'],
    [500, 'InternalError'],
    [401, 'Unauthorized'],
    [429, 'TooManyRequests'],
  ])('%i %s is an outage, for what is written and for what is read', async (status, code) => {
    await using bucket = await bucketThatSays(status, code)
    const answers = await Promise.allSettled([
      bucket.s3.put('key', nothing, servedAs(null)),
      bucket.s3.open('key', {}),
      bucket.s3.completeMultipart('key', 'id', [{ partNumber: 1, etag: '"e"' }]),
      bucket.s3.checkReachable(),
    ])
    for (const answer of answers) {
      const error = answer.status === 'rejected' ? answer.reason : undefined
      expect(error).toBeInstanceOf(StorageUnavailable)
      expect(problemOf(error)).toMatchObject({ code: 'unavailable', headers: { 'Retry-After': '5' } })
    }
  })

  it('about the object itself is none', async () => {
    await using bucket = await bucketThatSays(404, 'NoSuchKey')
    const error = await bucket.s3.open('key', {}).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(ObjectMissing)
    expect(error instanceof Error && error.cause).toBeInstanceOf(NoSuchKey)
  })
})

describe('an error of the disk', () => {
  it.each(['EIO', 'EROFS', 'ESTALE', 'EACCES', 'EMFILE'])('is an outage for %s', (code) => {
    expect(problemOf(translateDiskError(network(code))).code).toBe('unavailable')
  })
})

const nothing = { size: 0, sha256: 'UNSIGNED-PAYLOAD', chunks: () => [] }

async function bucketThatSays(status: number, code: string) {
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      response.writeHead(status, { 'Content-Type': 'application/xml' })
      response.end(
        request.method === 'HEAD' ? '' : `<Error><Code>${code}</Code><Message>No.</Message></Error>`,
      )
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const s3 = new S3({
    bucket: 'bucket',
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId: 'id', secretAccessKey: 'secret' },
    memoryBudget: 128 * 1024 * 1024,
  })
  return {
    s3,
    async [Symbol.asyncDispose]() {
      s3.close()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
