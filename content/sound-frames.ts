// Sounds that are not recognised by a signature at their first byte.

const MIN_FRAMES = 3
/** Kilobits per second of layer III, for MPEG 1 and for MPEG 2 and 2.5 (ISO 11172-3 § 2.4.2.3, ISO 13818-3). */
const BITRATES_1 = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320]
const BITRATES_2 = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160]
const MPEG_1_RATES = [44_100, 48_000, 32_000]
const LAYER_III = 1

/** The media type of a WAV for more than 4 GB (EBU Tech 3306), or of frames behind zeros. */
export function detectSound(head: Buffer): string | undefined {
  const start = head.toString('latin1', 0, 4)
  if ((start === 'RF64' || start === 'BW64') && head.toString('latin1', 8, 12) === 'WAVE') return 'audio/wav'
  // Anything else before the first frame may be another format: only name and declared type together say what it is.
  const first = head.findIndex((byte) => byte !== 0)
  if (hasFrames(head, first, mp3FrameBytes)) return 'audio/mpeg'
  return hasFrames(head, first, adtsFrameBytes) ? 'audio/aac' : undefined
}

/** Whether several frames follow each other from here: one alone is found in any noise. */
function hasFrames(
  head: Buffer,
  first: number,
  frameBytes: (head: Buffer, at: number) => number | undefined,
): boolean {
  let at = first
  for (let frames = 0; frames < MIN_FRAMES; frames++) {
    const bytes = at < 0 ? undefined : frameBytes(head, at)
    if (bytes === undefined) return false
    at += bytes
  }
  return true
}

/** The length of the frame of MP3 that begins here; undefined where none does. */
function mp3FrameBytes(head: Buffer, at: number): number | undefined {
  if (at + 4 > head.length || head[at] !== 0xff) return undefined
  const [second = 0, third = 0] = head.subarray(at + 1, at + 3)
  const version = (second >> 3) & 3
  if ((second & 0xe0) !== 0xe0 || version === 1 || ((second >> 1) & 3) !== LAYER_III) return undefined
  const isFirst = version === 3
  const bitrate = (isFirst ? BITRATES_1 : BITRATES_2)[third >> 4]
  const rate = MPEG_1_RATES[(third >> 2) & 3]
  if (!bitrate || !rate) return undefined
  const halvings = isFirst ? 1 : version === 2 ? 2 : 4
  return Math.floor(((isFirst ? 144 : 72) * bitrate * 1000 * halvings) / rate) + ((third >> 1) & 1)
}

/** The same for ADTS (ISO 13818-7 § 6.2). */
function adtsFrameBytes(head: Buffer, at: number): number | undefined {
  if (at + 7 > head.length || head[at] !== 0xff || ((head[at + 1] ?? 0) & 0xf6) !== 0xf0) return undefined
  if ((((head[at + 2] ?? 0) >> 2) & 15) > 12) return undefined
  const bytes = ((head.readUInt32BE(at + 3) >>> 13) & 0x1fff) >>> 0
  return bytes >= 7 ? bytes : undefined
}
