import { Readable } from 'node:stream'
import { fileTypeFromStream } from 'file-type'
import { findShortfall } from '../../content/completeness/missing-bytes.ts'
import { judgeType } from '../../content/identification.ts'
import { FileView } from '../../content/polyglots/file-view.ts'
import { findPolyglot } from '../../content/polyglots/polyglots.ts'
import { ContentRejected } from '../../content/verdict.ts'
import { declarationOf } from '../../ledger/media.ts'
import { readRange } from '../step/read-range.ts'
import type { Step } from '../step/step.ts'

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
    const read = (start: number, end: number) => readRange(context, start, end)
    const other = await findPolyglot(media.size, read, format)
    if (other !== undefined)
      throw new ContentRejected({
        code: 'polyglot',
        detail: `The file is ${format.contentType} and also ${other}.`,
      })
    const shortfall = await findShortfall(format, new FileView(media.size, read))
    if (shortfall !== undefined)
      throw new ContentRejected({ code: 'damaged', detail: `The file is incomplete: ${shortfall}.` })
    return { facts: { content_type: format.contentType, kind: format.kind }, detail: { detected } }
  },
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
