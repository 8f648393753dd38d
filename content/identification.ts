import { fileTypeFromBuffer } from 'file-type'
import { FORMATS, type Format, formatOfName, formatOfType, mayBeAccepted } from './formats.ts'
import { dangerousExtension } from './names.ts'
import { type ServedAs, servedAs } from './served-as.ts'
import type { RejectionCode, Verdict } from './verdict.ts'

/** First bytes needed to tell any of our formats, unless a file is shorter. */
export const HEAD_BYTES = 4100

/** The type of a file by its first bytes; undefined when they are not known. */
export async function detectType(head: Uint8Array): Promise<string | undefined> {
  return (await fileTypeFromBuffer(head))?.mime
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

export type ClaimedType = { filename: string | null; declared_type: string | null }

/** Why a file is rejected by its own type (undefined: not known), or its format. */
export function judgeType(
  detected: string | undefined,
  claims: ClaimedType,
  allowed: readonly Format[],
): { format: Format } | { verdict: Verdict } {
  if (detected === undefined)
    return against('type-not-recognised', 'The file type could not be determined from the content.')
  const format = formatOfType(FORMATS, detected)
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
  return mismatch ?? { format }
}

const against = (code: RejectionCode, detail: string) => ({ verdict: { code, detail } })

/** Containers of one family count as the same: phones name mp4 files .mov and vice versa. */
function mismatchOf(actual: Format, claimed: Format | undefined, by: string) {
  if (!claimed || claimed.family === actual.family) return undefined
  return against(
    'type-mismatch',
    `The ${by} says ${claimed.contentType}, but the content is ${actual.contentType}.`,
  )
}
