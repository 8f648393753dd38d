import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  AbortMultipartUploadCommand,
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  ListMultipartUploadsCommand,
  type ListMultipartUploadsCommandOutput,
  type MultipartUpload,
  PutBucketPolicyCommand,
  paginateListObjectsV2,
  S3Client,
  type S3ClientConfig,
} from '@aws-sdk/client-s3'
import { inject } from 'vitest'
import type { CephStatus, S3Access } from '../services/ceph.ts'
import { isMarkerKey } from './markers.ts'
import { betweenLooks } from './pauses.ts'

/** Longer than the gateway may take: then its own account of what went wrong is there to be shown. */
const WAIT_MS = 70_000
const POLL_MS = 20

const POLICY_FILE = join(import.meta.dirname, '..', '..', 'deploy', 's3-links-policy.json')

/** A bucket of its own on the run's S3 gateway. */
export type Bucket = {
  name: string
  /** The gateway itself. */
  endpoint: string
  /** The environment of a Landfall that stores here; through `endpoint` (a proxy) where one is given. */
  env(endpoint?: string): Record<string, string>
  /** Straight to the gateway. */
  client: S3Client
  /** Through a proxy, trying everything once. For the caller to destroy. */
  clientVia(endpoint: string): S3Client
  /** Of every object but the one by which a Landfall recognises the bucket, in the gateway's order. */
  keys(): Promise<string[]>
  /** Every multipart upload that is neither completed nor aborted. */
  openMultiparts(): Promise<{ key: string; uploadId: string }[]>
  /** Deletes the bucket with everything in it. */
  close(): Promise<void>
}

let buckets = 0

/**
 * Makes an empty bucket, as soon as the gateway answers.
 * @throws Error with the end of Ceph's logs if it did not start. A suite calls `requires('ceph')` first.
 */
export async function freshBucket(): Promise<Bucket> {
  const access = await readyGateway()
  const name = `test-${process.pid}-${Date.now()}-${buckets++}`
  const client = s3Client(access)
  await createBucket(client, name)
  await client.send(
    new PutBucketPolicyCommand({ Bucket: name, Policy: await linksPolicy(name, access.links.user) }),
  )
  const keys = async () => (await listKeys(client, name)).filter((key) => !isMarkerKey(key))
  const openMultiparts = () => listMultiparts(client, name)
  return {
    name,
    endpoint: access.endpoint,
    env: (endpoint = access.endpoint) => ({
      STORAGE: 's3',
      S3_BUCKET: name,
      S3_ENDPOINT: endpoint,
      S3_REGION: access.region,
      S3_FORCE_PATH_STYLE: 'true',
      AWS_ACCESS_KEY_ID: access.accessKeyId,
      AWS_SECRET_ACCESS_KEY: access.secretAccessKey,
      S3_LINK_ACCESS_KEY_ID: access.links.accessKeyId,
      S3_LINK_SECRET_ACCESS_KEY: access.links.secretAccessKey,
    }),
    client,
    clientVia: (endpoint) => s3Client({ ...access, endpoint }, { maxAttempts: 1 }),
    keys,
    openMultiparts,
    async close() {
      for (const { key, uploadId } of await openMultiparts()) {
        await client.send(new AbortMultipartUploadCommand({ Bucket: name, Key: key, UploadId: uploadId }))
      }
      for (const key of await listKeys(client, name))
        await client.send(new DeleteObjectCommand({ Bucket: name, Key: key }))
      await client.send(new DeleteBucketCommand({ Bucket: name }))
      client.destroy()
    },
  }
}

/** A client of the gateway, or of a proxy before it. */
export function s3Client(access: S3Access, options: S3ClientConfig = {}): S3Client {
  return new S3Client({
    ...options,
    endpoint: access.endpoint,
    region: access.region,
    forcePathStyle: true,
    credentials: { accessKeyId: access.accessKeyId, secretAccessKey: access.secretAccessKey },
    // By default the SDK appends checksums to the body in a framing that this gateway stores as part of the object.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  })
}

/** The policy that operators are told to set. */
async function linksPolicy(bucket: string, user: string): Promise<string> {
  const text = await readFile(POLICY_FILE, 'utf8')
  return text.replaceAll('BUCKET', bucket).replaceAll('LINK_USER', user)
}

/** @throws Error with what became of the gateway where it gives no answer. */
async function createBucket(client: S3Client, name: string): Promise<void> {
  try {
    const abortSignal = AbortSignal.timeout(WAIT_MS)
    await client.send(new CreateBucketCommand({ Bucket: name }), { abortSignal })
  } catch (error) {
    await readyGateway()
    throw error
  }
}

async function readyGateway(): Promise<S3Access> {
  const access = inject('s3')
  if (access === null) throw new Error("Ceph is not installed: skip this suite by requires('ceph')")
  const deadline = performance.now() + WAIT_MS
  for (;;) {
    const status = await readStatus(inject('s3StatusFile'))
    if (status?.state === 'ready') return access
    if (status) throw new Error(status.reason)
    if (performance.now() > deadline) throw new Error('Ceph neither started nor failed')
    await betweenLooks(POLL_MS)
  }
}

async function readStatus(path: string): Promise<CephStatus | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as CephStatus
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

async function listKeys(client: S3Client, bucket: string): Promise<string[]> {
  const keys: string[] = []
  for await (const page of paginateListObjectsV2({ client }, { Bucket: bucket })) {
    for (const { Key } of page.Contents ?? []) if (Key !== undefined) keys.push(Key)
  }
  return keys
}

async function listMultiparts(
  client: S3Client,
  bucket: string,
): Promise<{ key: string; uploadId: string }[]> {
  const found: MultipartUpload[] = []
  let after: { KeyMarker?: string; UploadIdMarker?: string } | undefined = {}
  while (after) {
    const page: ListMultipartUploadsCommandOutput = await client.send(
      new ListMultipartUploadsCommand({ Bucket: bucket, ...after }),
    )
    found.push(...(page.Uploads ?? []))
    after = page.IsTruncated
      ? { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker }
      : undefined
  }
  return found.flatMap(({ Key, UploadId }) => (Key && UploadId ? [{ key: Key, uploadId: UploadId }] : []))
}
