/** How much libvips is to forgive: `warning` nothing, `error` what still decodes to a picture. */
export type FailOn = 'warning' | 'error'
export type Decode<Found> = (input: string | Uint8Array, failOn: FailOn) => Promise<Found>

/** The data may be complete although the file ends before its end marker. */
const NO_END = /premature end of JPEG image|Unexpected end of GIF/
const END_MARKERS: Readonly<Record<string, readonly number[]>> = {
  'image/jpeg': [0xff, 0xd9],
  'image/gif': [0x3b],
}

/**
 * Warnings of the decoders that mean that a part of the picture is missing. Others change nothing that is seen: profiles,
 * tags, odd headers.
 */
const DAMAGE = [/Corrupt JPEG data: (?!\d+ extraneous)/, /Invalid frame data/]
/** Cameras leave some bytes between two scans. More of them are what is left of a part of the picture. */
const EXTRANEOUS = /Corrupt JPEG data: (\d+) extraneous bytes/
const MOST_EXTRANEOUS_BYTES = 2048
const MOST_EXTRANEOUS_PART = 0.02

/**
 * Decodes a picture, and fails where a part of it is missing or does not decode; but not for the lack of an end marker,
 * nor for what changes nothing in the picture. `whole` gives all bytes, `size` of them.
 */
export async function decodeForgivingly<Found>(
  decode: Decode<Found>,
  input: string | Uint8Array,
  file: { contentType: string | null; size: number; whole: () => Promise<Uint8Array> },
): Promise<Found> {
  try {
    return await decodeUndamaged(decode, input, file.size)
  } catch (error) {
    const marker = END_MARKERS[file.contentType ?? '']
    if (!marker || !NO_END.test(messageOf(error))) throw error
    const ended = Buffer.concat([await file.whole(), Uint8Array.from(marker)])
    return await decodeUndamaged(decode, ended, file.size)
  }
}

async function decodeUndamaged<Found>(
  decode: Decode<Found>,
  input: string | Uint8Array,
  size: number,
): Promise<Found> {
  try {
    return await decode(input, 'warning')
  } catch (error) {
    const message = messageOf(error)
    const extraneous = Number(EXTRANEOUS.exec(message)?.[1] ?? 0)
    const most = Math.min(MOST_EXTRANEOUS_BYTES, size * MOST_EXTRANEOUS_PART)
    if (extraneous > most || DAMAGE.some((pattern) => pattern.test(message))) throw error
    return await decode(input, 'error')
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
