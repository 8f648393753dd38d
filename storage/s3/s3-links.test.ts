import { createServer } from 'node:http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { StorageUnavailable } from '../store/objects.ts'
import { S3 } from './s3.ts'
import { partsOf } from './s3-links.ts'

// A server in the place of S3: no gateway that we have answers like this.
let answers: string[] = []
const server = createServer((_request, response) => {
  response.writeHead(200, { 'Content-Type': 'application/xml' }).end(answers.shift() ?? answers[0] ?? '')
})
let s3: S3

const UPLOAD = 'multipart-1'
const part = (number: number): string =>
  `<Part><PartNumber>${number}</PartNumber><ETag>&quot;e${number}&quot;</ETag><Size>5</Size></Part>`
const page = (inner: string, uploadId = UPLOAD): string =>
  `<?xml version="1.0"?><ListPartsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">` +
  `<Bucket>b</Bucket><Key>k</Key><UploadId>${uploadId}</UploadId>${inner}</ListPartsResult>`
const more = (marker: string): string =>
  `<IsTruncated>true</IsTruncated><NextPartNumberMarker>${marker}</NextPartNumberMarker>`
const LAST = '<IsTruncated>false</IsTruncated>'

beforeAll(async () => {
  server.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the server has no port')
  s3 = new S3({
    endpoint: `http://127.0.0.1:${address.port}`,
    region: 'us-east-1',
    bucket: 'b',
    credentials: { accessKeyId: 'a', secretAccessKey: 's' },
    forcePathStyle: true,
    memoryBudget: 0,
  })
})
afterAll(() => {
  s3.close()
  server.closeAllConnections()
  server.close()
})

describe('the list of parts', () => {
  it('is read page by page', async () => {
    answers = [page(part(1) + more('1')), page(part(2) + part(3) + LAST)]
    expect(await partsOf(s3, 'k', UPLOAD)).toEqual(
      [1, 2, 3].map((partNumber) => ({ partNumber, size: 5, etag: `"e${partNumber}"` })),
    )
  })

  it.each([
    ['that has more and does not say after which', [page(`${part(1)}<IsTruncated>true</IsTruncated>`)]],
    ['that goes on where it began', [page(part(1) + more('1')), page(part(1) + more('1'))]],
    ['that goes back', [page(part(5) + more('5')), page(part(1) + more('1'))]],
    ['with a part twice', [page(part(1) + part(1) + LAST)]],
    ['of another upload', [page(part(1) + LAST, 'multipart-2')]],
    ['with a part that has no size', [page('<Part><PartNumber>1</PartNumber></Part>')]],
    ['that is none', ['<html><body>Welcome</body></html>']],
    ['that is empty', ['']],
  ])('is none of fewer parts for one %s', async (_what, pages) => {
    answers = [...pages]
    await expect(partsOf(s3, 'k', UPLOAD)).rejects.toBeInstanceOf(StorageUnavailable)
  })
})
