import { Readable } from 'node:stream'
import { fileTypeFromStream } from 'file-type'
import { judgeType } from '../../content/identification.ts'
import type { ReadRange } from '../../content/polyglots/file-view.ts'
import { findPolyglot } from '../../content/polyglots/polyglots.ts'
import { ContentRejected } from '../../content/verdict.ts'
import { declarationOf } from '../../ledger/media.ts'
import type { Step, StepContext } from '../step/step.ts'

/** Determines the type of the file from its bytes, and compares it with the declared type. */
export const identify: Step = {
  name: 'identify',
  after: ['assemble'],
  async run(context) {
    const { media, objects, db, allowedFormats } = context
    const detected = await detect(await objects.read(media.storage_key, { etag: media.etag }))
    const judged = judgeType(detected, await declarationOf(db, media.upload_id), allowedFormats)
    if ('verdict' in judged) throw new ContentRejected(judged.verdict)
    const { format } = judged
    const other = await findPolyglot(media.size, readerOf(context), format)
    if (other !== undefined)
      throw new ContentRejected({
        code: 'polyglot',
        detail: `The file is ${format.contentType} and also ${other}.`,
      })
    return { facts: { content_type: format.contentType, kind: format.kind }, detail: { detected } }
  },
}

/** Fails when the storage delivers fewer bytes than the object has. */
function readerOf({ media, objects, signal }: StepContext): ReadRange {
  return async (start, end) => {
    const source = await objects.read(media.storage_key, { range: { start, end }, etag: media.etag })
    const chunks: Uint8Array[] = []
    for await (const chunk of source as AsyncIterable<Uint8Array>) {
      signal.throwIfAborted()
      chunks.push(chunk)
    }
    const bytes = Buffer.concat(chunks)
    if (bytes.length !== end - start + 1)
      throw new Error(`${bytes.length} bytes were read of ${end - start + 1}`)
    return bytes
  }
}

/** Reads no further than needed. */
async function detect(source: Readable): Promise<string | undefined> {
  let failure: Error | undefined
  source.once('error', (error) => {
    failure = error
  })
  try {
    const stream = Readable.toWeb(source) as ReadableStream<Uint8Array>
    const detected = await fileTypeFromStream(stream)
    // A file that was cut off must not be judged by its beginning.
    if (failure) throw failure
    return detected?.mime
  } finally {
    source.destroy()
  }
}
