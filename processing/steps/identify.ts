import { Readable } from 'node:stream'
import { fileTypeFromStream } from 'file-type'
import { declarationOf } from '../../ledger/media.ts'
import { judgeType } from '../../storage/identification.ts'
import type { Step } from '../step.ts'
import { Rejected } from '../verdict.ts'

/** Finds out from its own bytes what the file is, and holds that against what it was said to be. */
export const identify: Step = {
  name: 'identify',
  async run({ media, objects, db, allowedFormats }) {
    const detected = await detect(await objects.read(media.storage_key, { etag: media.etag }))
    const judged = judgeType(detected, await declarationOf(db, media.upload_id), allowedFormats)
    if ('verdict' in judged) throw new Rejected(judged.verdict.code, judged.verdict.detail)
    const { format } = judged
    return { facts: { content_type: format.contentType, kind: format.kind }, detail: { detected } }
  },
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
