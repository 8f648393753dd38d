import { Readable } from 'node:stream'
import { fileTypeFromBuffer, fileTypeFromStream } from 'file-type'
import { findShortfall } from '../../content/completeness/missing-bytes.ts'
import { FileView } from '../../content/file-view.ts'
import { correctedName } from '../../content/formats.ts'
import { judgeEncryption } from '../../content/headers/early-verdict.ts'
import { readHeader } from '../../content/headers/header-reader.ts'
import { detectType, HEAD_BYTES, headBehindTags, isArchive, judgeType } from '../../content/identification.ts'
import { findPolyglot } from '../../content/polyglots/polyglots.ts'
import { ContentRejected } from '../../content/verdict.ts'
import { declarationOf } from '../../ledger/media.ts'
import { readRange } from '../step/read-range.ts'
import type { Step, StepContext } from '../step/step.ts'

/** Determines the type of the file from its bytes, and compares it with the declared type. */
export const identify: Step = {
  name: 'identify',
  after: ['assemble'],
  async run(context) {
    const { media, db, accepted } = context
    const read = (start: number, end: number) => readRange(context, start, end)
    const file = new FileView(media.size, read)
    const first =
      media.size === 0 ? Buffer.alloc(0) : await readRange(context, 0, Math.min(FIRST_BYTES, media.size) - 1)
    const known = await detect(context, first)
    const head =
      known === undefined && media.size > 0 ? await headBehindTags(file) : first.subarray(0, HEAD_BYTES)
    const detected = known ?? (await detectType(head))
    const declaration = await declarationOf(db, media.upload_id)
    const judged = judgeType(detected, declaration, accepted, head)
    if ('verdict' in judged) throw new ContentRejected(judged.verdict)
    const { format } = judged
    const isMedia = format.kind !== 'document' && format.kind !== 'file'
    // Anything may stand in other files; nobody shows or runs them from here.
    const other = isMedia ? await findPolyglot(media.size, read, format) : undefined
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
    const facts = {
      content_type: format.contentType,
      kind: format.kind,
      // What a sound or video is, its streams decide.
      ...(format.kind === 'image' ? { filename: correctedName(media.filename, format) } : {}),
    }
    return { facts, detail: { detected, ...(judged.isClaimed ? { isClaimed: true } : {}) } }
  },
}

/** More than nearly every file needs. */
const FIRST_BYTES = 64 * 1024

/** By the first bytes, and by as many more as are needed. */
async function detect({ media, objects }: StepContext, first: Buffer): Promise<string | undefined> {
  const detected = (await fileTypeFromBuffer(first))?.mime
  // What kind of archive it is may be far behind.
  const isSure = detected !== undefined && !isArchive(detected)
  if (isSure || first.length === media.size) return detected
  return await detectInStream(await objects.read(media.storage_key, { etag: media.etag }))
}

async function detectInStream(source: Readable): Promise<string | undefined> {
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
