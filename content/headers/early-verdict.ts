import type { MediaKind } from '../formats.ts'
import { judgeDimensions, judgeDuration, judgeImageSize, type MediaLimits } from '../media-limits.ts'
import type { Verdict } from '../verdict.ts'
import type { HeaderFacts, Picture } from './header-walk.ts'

/** Playback can be shorter than the header says, by an edit list for example. */
const SPARE_SECONDS = 1
/** Headers may round a size to macroblocks, such as 1088 lines for 1080. */
const SPARE_PIXELS = 15
/** Bits per second; speech of the poorest codecs takes more. */
const LEAST_BITRATE = 500
/** Codecs declare the shape of pixels; no real one is wider, or higher, than this. */
const WIDEST_PIXEL = 2.5

/**
 * Why a file is rejected by its header alone. Undefined where the later check of the whole file may decide differently.
 * That check chooses one of several pictures: all of them must be judged alike.
 */
export function earlyVerdict(
  facts: HeaderFacts,
  kind: MediaKind,
  limits: MediaLimits,
  /** Bytes; null where it is not declared. */
  size: number | null,
): Verdict | undefined {
  if (facts.isEncrypted) return judgeEncryption(facts)
  const { pictures, durationSeconds } = facts
  if (kind === 'image') return ofAll(pictures, (picture) => judgeImageSize(picture, limits))
  // Beyond the lenient limits it is beyond the real ones too, which the detail names.
  const seconds = isPlausible(durationSeconds, size) ? durationSeconds : undefined
  if (judgeDuration(seconds, lenient(limits))) return judgeDuration(seconds, limits)
  return kind === 'video' ? ofAll(pictures, (picture) => surelyWrongSize(picture, limits)) : undefined
}

/** The verdict on the first picture, where all have the same. */
function ofAll(
  pictures: readonly Picture[],
  judge: (picture: Picture) => Verdict | undefined,
): Verdict | undefined {
  const [first, ...others] = pictures.map(judge)
  return others.every((verdict) => verdict?.code === first?.code) ? first : undefined
}

/** Why a file is rejected whose tracks are encrypted. */
export const judgeEncryption = ({ isEncrypted }: HeaderFacts): Verdict | undefined =>
  isEncrypted
    ? { code: 'encrypted', detail: 'The file is encrypted, so that it cannot be played.' }
    : undefined

/** A header may be wrong. A duration that the bytes cannot fill is left to the check of the packets. */
const isPlausible = (seconds: number | undefined, size: number | null): boolean =>
  seconds !== undefined && size !== null && (size * 8) / seconds >= LEAST_BITRATE

/** A video is judged as it is shown, and its header says how it is stored. */
function surelyWrongSize(stored: Picture, limits: MediaLimits): Verdict | undefined {
  const { width, height } = stored
  const codes = [
    stored,
    { width: width * WIDEST_PIXEL, height },
    { width, height: height * WIDEST_PIXEL },
  ].map((shown) => judgeDimensions(shown, lenient(limits), stored)?.code)
  return codes.every((code) => code === codes[0]) ? judgeDimensions(stored, limits) : undefined
}

function lenient(limits: MediaLimits): MediaLimits {
  return {
    ...limits,
    maxDurationSeconds: limits.maxDurationSeconds + SPARE_SECONDS,
    maxWidth: limits.maxWidth + SPARE_PIXELS,
    maxHeight: limits.maxHeight + SPARE_PIXELS,
  }
}
