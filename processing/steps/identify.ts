import { Readable } from 'node:stream'
import { fileTypeFromStream } from 'file-type'
import { declarationOf } from '../../ledger/media.ts'
import { FORMATS, type Format, formatOfName, formatOfType } from '../../storage/formats.ts'
import type { Step } from '../step.ts'
import { Rejected } from '../verdict.ts'

/** Finds out from its own bytes what the file is, and holds that against what it was said to be. */
export const identify: Step = {
  name: 'identify',
  async run({ media, objects, db, allowedFormats }) {
    const detected = await detect(await objects.read(media.storage_key, { etag: media.etag }))
    const format = detected === undefined ? undefined : formatOfType(FORMATS, detected)
    if (!format) {
      throw detected === undefined
        ? new Rejected('type-not-recognised', 'The content is of no known file type.')
        : new Rejected('type-not-allowed', `The content is ${detected}, which is not accepted here.`)
    }
    if (!allowedFormats.includes(format)) {
      throw new Rejected(
        'type-not-allowed',
        `The content is ${format.contentType}, which is not accepted here.`,
      )
    }
    const { filename, declared_type } = await declarationOf(db, media.upload_id)
    checkClaim(format, filename === null ? undefined : formatOfName(FORMATS, filename), 'name')
    checkClaim(
      format,
      declared_type === null ? undefined : formatOfType(FORMATS, declared_type),
      'declared type',
    )
    return { facts: { content_type: format.contentType, kind: format.kind }, detail: { detected } }
  },
}

/** Containers of one family count as the same: phones name mp4 files .mov and the other way round. */
function checkClaim(actual: Format, claimed: Format | undefined, by: string): void {
  if (!claimed || claimed.family === actual.family) return
  throw new Rejected(
    'type-mismatch',
    `By its ${by} the file is ${claimed.contentType}, by its content ${actual.contentType}.`,
  )
}

/** Reads no further than it has to. */
async function detect(source: Readable): Promise<string | undefined> {
  let failure: Error | undefined
  source.once('error', (error) => {
    failure = error
  })
  try {
    const stream = Readable.toWeb(source) as ReadableStream<Uint8Array>
    const detected = await fileTypeFromStream(stream)
    // What was cut off before its end must not be judged by its beginning.
    if (failure) throw failure
    return detected?.mime
  } finally {
    source.destroy()
  }
}
