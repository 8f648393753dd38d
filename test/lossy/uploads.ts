import { createCipheriv, createHash } from 'node:crypto'
import { Upload } from 'tus-js-client'
import { asMp4 } from '../support/sample-bytes.ts'

// Nothing here may need the test runner: it runs beside it as well.

export const BYTES = 20_000_000

export type Outcome = {
  uploadId: string
  sha256: string
  /** How often its client asked where to go on. */
  resumptions: number
}

/** Bytes that differ from file to file, and that nothing compresses. */
function fileOf(number: number): Buffer {
  const key = createHash('md5').update(`lossy ${number}`).digest()
  return asMp4(createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(BYTES)))
}

/** Sends a file of 20 MB with tus-js-client as it is, without an option that is not needed. Fails when that gives up. */
export async function sendOne(url: string, token: string, number: number): Promise<Outcome> {
  const file = fileOf(number)
  let resumptions = 0
  const uploadId = await new Promise<string>((resolve, reject) => {
    const upload = new Upload(file, {
      endpoint: `${url}/files`,
      headers: { Authorization: `Bearer ${token}` },
      metadata: { filename: `${number}.mp4`, filetype: 'video/mp4' },
      onBeforeRequest: (request) => {
        if (request.getMethod() === 'HEAD') resumptions += 1
      },
      onError: (error) => reject(new Error(`upload ${number} failed`, { cause: error })),
      onSuccess: () => resolve(upload.url?.split('/').at(-1) ?? ''),
    })
    upload.start()
  })
  return { uploadId, sha256: sha256Of(file), resumptions }
}

export const sha256Of = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** Runs `one` for each number from 0 on, `atOnce` at a time; gives the results in order. */
export async function severally<Result>(
  count: number,
  atOnce: number,
  one: (number: number) => Promise<Result>,
): Promise<Result[]> {
  const numbers = Array.from({ length: count }, (_, number) => number)
  const results: Result[] = []
  const waiting = numbers.values()
  const work = async () => {
    for (const number of waiting) results[number] = await one(number)
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, count) }, work))
  return results
}
