import { Readable } from 'node:stream'
import { fileTypeFromStream } from 'file-type'
import { findShortfall } from '../../content/completeness/missing-bytes.ts'
import { FileView } from '../../content/file-view.ts'
import { correctedName } from '../../content/formats.ts'
import { judgeEncryption } from '../../content/headers/early-verdict.ts'
import { readHeader } from '../../content/headers/header-reader.ts'
import { detectType, headBehindTags, judgeType } from '../../content/identification.ts'
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
    const read = (start: number, end: number) => readRange(context, start, end)
    const file = new FileView(media.size, read)
    const known = await detect(await objects.read(media.storage_key, { etag: media.etag }))
    const head = known === undefined ? await headBehindTags(file) : Buffer.alloc(0)
    const detected = known ?? (await detectType(head))
    const declaration = await declarationOf(db, media.upload_id)
    const judged = judgeType(detected, declaration, allowedFormats, head)
    if ('verdict' in judged) throw new ContentRejected(judged.verdict)
    const { format } = judged
    const other = await findPolyglot(media.size, read, format)
    if (other !== undefined)
      throw new ContentRejected({
        code: 'polyglot',
        detail: `The file is ${format.contentType} and also ${other}.`,
      })
    const verdict = judgeEncryption(await readHeader(format, file))
    if (verdict) throw new ContentRejected(verdict)
    const shortfall = await findShortfall(format, file)
    if (shortfall !== undefined)
      throw new ContentRejected({ code: 'damaged', detail: `The file is incomplete: ${shortfall}.` })
    const filename = media.filename === null ? null : correctedName(media.filename, format)
    const facts = { content_type: format.contentType, kind: format.kind, filename }
    return { facts, detail: { detected, ...(judged.isClaimed ? { isClaimed: true } : {}) } }
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
