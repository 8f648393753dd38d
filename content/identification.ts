import { fileTypeFromBuffer } from 'file-type'
import { type AcceptedTypes, acceptsAnything, acceptsDocuments, mayAccept } from './accepted-types.ts'
import type { FileView } from './file-view.ts'
import { contradicts, type Format, fileOf, formatOfName, formatOfType, KNOWN } from './formats.ts'
import { endOfLeadingTags } from './leading-tags.ts'
import { dangerousExtension } from './names.ts'
import { type ServedAs, servedAs } from './served-as.ts'
import { detectSound } from './sound-frames.ts'
import type { RejectionCode, Verdict } from './verdict.ts'

/** First bytes needed to tell any of our formats, unless a file is shorter. */
export const HEAD_BYTES = 4100

/** The type of a file by its first bytes; undefined when they are not known. */
export async function detectType(head: Uint8Array): Promise<string | undefined> {
  const bytes = Buffer.from(head)
  return (await fileTypeFromBuffer(head))?.mime ?? detectOther(bytes)
}

const detectOther = (head: Buffer): string | undefined =>
  isTiff(head) ? 'image/tiff' : isTransportStream(head) ? 'video/mp2t' : detectSound(head)

/** TIFF 6.0 § 2. The directory, which tells raw pictures of cameras apart, may be far behind. */
const isTiff = (head: Buffer): boolean => /^(?:II\*\0|MM\0\*)/.test(head.toString('latin1', 0, 4))

/** The first bytes of a file that are not tags of ID3. */
export async function headBehindTags(file: FileView): Promise<Buffer> {
  const start = await endOfLeadingTags(file)
  return (await file.take(start, HEAD_BYTES)).subarray(0, HEAD_BYTES)
}

/** ISO 13818-1 § 2.4.3: packets of 188 bytes; recorders and broadcasters add 4 or 16. It may begin in mid-packet. */
function isTransportStream(head: Buffer): boolean {
  return [188, 192, 204].some((packetBytes) => {
    const isSync = (at: number) => SYNCED_PACKETS.every((n) => head[at + n * packetBytes] === SYNC_BYTE)
    return Array.from({ length: packetBytes }, (_, at) => at).some(isSync)
  })
}

const SYNC_BYTE = 0x47
const SYNCED_PACKETS = [0, 1, 2, 3, 4, 5, 6, 7]

const EBML = [0x1a, 0x45, 0xdf, 0xa3]

/** Archives, whose content tells what kind of document it is. */
const ARCHIVES: readonly (string | undefined)[] = ['application/zip', 'application/x-cfb']

export const isArchive = (detected: string | undefined): boolean => ARCHIVES.includes(detected)

/** Whether the first bytes are conclusive: in some files the type follows a tag of any length. */
export function isConclusive(
  head: Uint8Array,
  detected: string | undefined,
  accepted: AcceptedTypes,
): boolean {
  if (isArchive(detected) && acceptsDocuments(accepted)) return false
  if (EBML.every((byte, index) => head[index] === byte)) return detected !== undefined
  if (Buffer.from(head.subarray(0, 3)).toString('latin1') !== 'ID3') return true
  const [a = 0, b = 0, c = 0, d = 0] = head.subarray(6, 10)
  // ID3v2: seven bits a byte.
  return 10 + ((a << 21) | (b << 14) | (c << 7) | d) + 10 < head.length
}

/** How an object is served, by its first bytes. */
export async function servedAsBy(head: Uint8Array): Promise<ServedAs> {
  const detected = await detectType(head)
  return servedAs((detected && formatOfType(KNOWN, detected)?.contentType) ?? null)
}

/** The verdict on content that says nothing of its type. */
export const UNRECOGNISED: Verdict = {
  code: 'type-not-recognised',
  detail: 'The file type could not be determined from the content.',
}

export type ClaimedType = { filename: string | null; declared_type: string | null }

/**
 * Why a file is rejected by its own type (undefined: not known), or its format. `isClaimed`: the content does not tell,
 * and ffprobe has to decide whether it is what its name and its declared type agree on.
 */
export function judgeType(
  detected: string | undefined,
  claims: ClaimedType,
  accepted: AcceptedTypes,
  head: Uint8Array,
): { format: Format; isClaimed?: boolean } | { verdict: Verdict } {
  const { filename, declared_type: type } = claims
  const named = filename === null ? undefined : formatOfName(KNOWN, filename)
  const declared = type === null ? undefined : formatOfType(KNOWN, type)
  const signed = isText(head) && isWord(head, detected) ? undefined : detected
  const isClaimed = signed === undefined && named === declared && isFrames(named, head)
  const format = detectedFormat(signed, claims) ?? (isClaimed ? named : otherFormat(claims, head))
  if (!format || !mayAccept(accepted, format))
    return signed === undefined && !isClaimed
      ? { verdict: UNRECOGNISED }
      : against(
          'type-not-allowed',
          `The content is ${format?.contentType ?? detected}, which is not an accepted type.`,
        )
  const danger = filename === null ? undefined : dangerousExtension(filename)
  // A type that is not in our table was accepted by its name.
  if (danger !== undefined && KNOWN.includes(format) && !acceptsAnything(accepted))
    return against('type-mismatch', `The file name has an extension of executable files (.${danger}).`)
  const mismatch = mismatchOf(format, named, 'name') ?? mismatchOf(format, declared, 'declared type')
  return mismatch ?? (isClaimed ? { format, isClaimed } : { format })
}

/** Formats that may consist of text. In any other text, a few letters that look like a signature are words. */
const TEXTUAL = /^(?:text\/|application\/(?:pdf|rtf|xml|postscript|eps|x-)|[^/]+\/[^/]+\+xml$)/

/** Whether a signature consists of letters, of a format that text alone never is. */
const isWord = (head: Uint8Array, detected = ''): boolean =>
  !TEXTUAL.test(detected) && head.subarray(0, 3).every((byte) => byte >= 0x20 && byte < 0x7f)

/** By the first bytes; what begins alike, such as documents of old office programs, by what it is called. */
function detectedFormat(detected: string | undefined, claims: ClaimedType): Format | undefined {
  if (detected === undefined) return undefined
  const called = calledBy(claims)
  if (detected === 'application/x-cfb') {
    const document = called.formats.find(({ family }) => family === 'cfb')
    if (document) return document
  }
  if (detected === 'application/xml' && /[/+]xml$/.test(called.type)) return fileOf(called.type)
  return formatOfType(KNOWN, detected) ?? fileOf(detected)
}

/** What a file is called: the formats of its declared type and its name, and the declared type itself. */
function calledBy({ filename, declared_type }: ClaimedType): { formats: Format[]; type: string } {
  const type = declared_type?.split(';', 1)[0]?.trim().toLowerCase() ?? ''
  const formats = [formatOfType(KNOWN, type), filename === null ? undefined : formatOfName(KNOWN, filename)]
  return { formats: formats.filter((format) => format !== undefined), type }
}

/** Frames of sound without a header: anything may precede the first one. */
const FRAMES = ['audio/mpeg', 'audio/aac']

const isFrames = (named: Format | undefined, head: Uint8Array): boolean =>
  named !== undefined && FRAMES.includes(named.contentType) && !isText(head)

/** Also with the colours of a terminal, and in UTF-16 as old programs of Windows write it. */
const isText = (head: Uint8Array): boolean => head.every(isOfText) || (hasWideMark(head) && !hasGap(head))

const isOfText = (byte: number): boolean =>
  byte >= 0x20 || (byte >= 0x08 && byte <= 0x0d) || byte === 0x1a || byte === 0x1b

const hasWideMark = ([a, b]: Uint8Array): boolean => (a === 0xff && b === 0xfe) || (a === 0xfe && b === 0xff)

/** A character of zeros, which no text has. */
const hasGap = (head: Uint8Array): boolean =>
  head.some((byte, at) => at % 2 === 0 && byte === 0 && (head[at + 1] ?? 1) === 0)

const OTHER_TYPE = /^(?!video\/|audio\/|image\/)[a-z0-9][\w!#$&^.+-]{0,126}\/[a-z0-9][\w!#$&^.+-]{0,126}$/
/** Readers look for the beginning of a PDF so far. */
const PDF_BYTES = 1024

/** What the first bytes do not tell: text of the kind that its client says, or anything of the type that it says. */
function otherFormat(claims: ClaimedType, head: Uint8Array): Format {
  const { formats, type } = calledBy(claims)
  const pdf = formats.find(({ contentType }) => contentType === 'application/pdf')
  if (pdf && Buffer.from(head).subarray(0, PDF_BYTES).includes('%PDF-')) return pdf
  const text = formats.find(({ family }) => family === 'text') ?? formatOfType(KNOWN, 'text/plain')
  const isOther = !formatOfType(KNOWN, type) && OTHER_TYPE.test(type)
  if (text && isText(head) && !isOther) return text
  // A known type would have been found in the content.
  return fileOf(isOther ? type : 'application/octet-stream')
}

const against = (code: RejectionCode, detail: string) => ({ verdict: { code, detail } })

function mismatchOf(actual: Format, claimed: Format | undefined, by: string) {
  if (!claimed || !contradicts(claimed, actual)) return undefined
  return against(
    'type-mismatch',
    `The ${by} says ${claimed.contentType}, but the content is ${actual.contentType}.`,
  )
}
