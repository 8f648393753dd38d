/** The peer on S3: `@tus/server` with `S3Store`, as they are by default. */
import { S3Store } from '@tus/s3-store'
import { Server } from '@tus/server'
import { given, listen } from './serving.ts'

const datastore = new S3Store({
  s3ClientConfig: {
    bucket: given('S3_BUCKET'),
    endpoint: given('S3_ENDPOINT'),
    region: given('S3_REGION'),
    forcePathStyle: true,
    // Gateways other than AWS know no checksums that the SDK makes up; Landfall sends none either.
    requestChecksumCalculation: 'WHEN_REQUIRED',
  },
})
const tus = new Server({ path: '/files', datastore })
await listen((request, response) => tus.handle(request, response))
