import { fileTypeFromBuffer } from 'file-type'
import type { FileView } from './file-view.ts'
import { FORMATS, type Format, formatOfName, formatOfType, isAlike, mayBeAccepted } from './formats.ts'
import { endOfLeadingTags } from './leading-tags.ts'
import { dangerousExtension } from './names.ts'
import { type ServedAs, servedAs } from './served-as.ts'
import { detectSound } from './sound-frames.ts'
import type { RejectionCode, Verdict } from './verdict.ts'

/** First bytes needed to tell any of our formats, unless a file is shorter. */
export const HEAD_BYTES = 4100

/** The type of a file by its first bytes; undefined when they are not known. */
export async function detectType(head: Uint8Array): Promise<string | undefined> {
  return (await fileTypeFromBuffer(head))?.mime ?? detectSound(Buffer.from(head))
}

/** The first bytes of a file that are not tags of ID3. */
export async function headBehindTags(file: FileView): Promise<Buffer> {
  const start = await endOfLeadingTags(file)
  return (await file.take(start, HEAD_BYTES)).subarray(0, HEAD_BYTES)
}

const EBML = [0x1a, 0x45, 0xdf, 0xa3]

/** Whether the first bytes are conclusive: in some files the type follows a tag of any length. */
export function isConclusive(head: Uint8Array, detected: string | undefined): boolean {
  if (EBML.every((byte, index) => head[index] === byte)) return detected !== undefined
  if (Buffer.from(head.subarray(0, 3)).toString('latin1') !== 'ID3') return true
  const [a = 0, b = 0, c = 0, d = 0] = head.subarray(6, 10)
  // ID3v2: seven bits a byte.
  return 10 + ((a << 21) | (b << 14) | (c << 7) | d) + 10 < head.length
}

/** How an object is served, by its first bytes. */
export async function servedAsBy(head: Uint8Array): Promise<ServedAs> {
  const detected = await detectType(head)
  return servedAs((detected && formatOfType(FORMATS, detected)?.contentType) ?? null)
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
  allowed: readonly Format[],
  head: Uint8Array,
): { format: Format; isClaimed?: boolean } | { verdict: Verdict } {
  const claimed = detected === undefined ? claimedFrames(claims, head) : undefined
  const format = detected === undefined ? claimed : formatOfType(FORMATS, detected)
  if (!format && detected === undefined) return { verdict: UNRECOGNISED }
  if (!format || !mayBeAccepted(allowed, format))
    return against(
      'type-not-allowed',
      `The content is ${format?.contentType ?? detected}, which is not an accepted type.`,
    )
  const { filename, declared_type: type } = claims
  const danger = filename === null ? undefined : dangerousExtension(filename)
  if (danger !== undefined)
    return against('type-mismatch', `The file name has an extension of executable files (.${danger}).`)
  const mismatch =
    mismatchOf(format, filename === null ? undefined : formatOfName(FORMATS, filename), 'name') ??
    mismatchOf(format, type === null ? undefined : formatOfType(FORMATS, type), 'declared type')
  return mismatch ?? (claimed ? { format, isClaimed: true } : { format })
}

/** Frames of sound without a header: anything may precede the first one. */
const FRAMES = ['audio/mpeg', 'audio/aac']

/** The format of frames that name and declared type agree on, for content that is not text. */
function claimedFrames({ filename, declared_type }: ClaimedType, head: Uint8Array): Format | undefined {
  const named = filename === null ? undefined : formatOfName(FORMATS, filename)
  const declared = declared_type === null ? undefined : formatOfType(FORMATS, declared_type)
  const isText = head.every((byte) => byte >= 0x20 || (byte >= 0x09 && byte <= 0x0d))
  return named === declared && named && FRAMES.includes(named.contentType) && !isText ? named : undefined
}

const against = (code: RejectionCode, detail: string) => ({ verdict: { code, detail } })

/** Programs name sounds and videos, and pictures, by another format of their kind; not one by the other. */
function mismatchOf(actual: Format, claimed: Format | undefined, by: string) {
  if (!claimed || isAlike(claimed, actual)) return undefined
  return against(
    'type-mismatch',
    `The ${by} says ${claimed.contentType}, but the content is ${actual.contentType}.`,
  )
}
