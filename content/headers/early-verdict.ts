import type { MediaKind } from '../formats.ts'
import { judgeDimensions, judgeDuration, type MediaLimits } from '../media-limits.ts'
import type { Verdict } from '../verdict.ts'
import type { HeaderFacts } from './header-walk.ts'

/** Playback can be shorter than the header says, by an edit list for example. */
const SPARE_SECONDS = 1
/** Headers may round a size to macroblocks, such as 1088 lines for 1080. */
const SPARE_PIXELS = 15

/**
 * Why a file is rejected by its header alone. Undefined where the later check of the whole file may decide differently.
 * The first video track counts, as there.
 */
export function earlyVerdict(facts: HeaderFacts, kind: MediaKind, limits: MediaLimits): Verdict | undefined {
  // Beyond the lenient limits it is beyond the real ones too, which the detail names.
  const surely = (judge: (by: MediaLimits) => Verdict | undefined) => judge(lenient(limits)) && judge(limits)
  const picture = kind === 'audio' ? undefined : facts.pictures[0]
  return (
    surely((by) => judgeDuration(facts.durationSeconds, by)) ??
    surely((by) => judgeDimensions(picture?.width, picture?.height, by))
  )
}

function lenient(limits: MediaLimits): MediaLimits {
  return {
    ...limits,
    maxDurationSeconds: limits.maxDurationSeconds + SPARE_SECONDS,
    maxWidth: limits.maxWidth + SPARE_PIXELS,
    maxHeight: limits.maxHeight + SPARE_PIXELS,
  }
}
