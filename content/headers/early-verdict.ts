import type { MediaKind } from '../formats.ts'
import { judgeDimensions, judgeDuration, type MediaLimits } from '../media-limits.ts'
import type { Verdict } from '../verdict.ts'
import type { HeaderFacts } from './header-walk.ts'

/** What is played can be shorter than what the header says, by an edit list for one. */
const SPARE_SECONDS = 1
/** Headers can tell a size in whole macroblocks, 1088 lines for 1080. */
const SPARE_PIXELS = 15

/**
 * Why a file is refused by its header alone. Says nothing where the check of the whole file
 * may see it differently: that one decides. The first video track counts, as it does there.
 */
export function earlyVerdict(facts: HeaderFacts, kind: MediaKind, limits: MediaLimits): Verdict | undefined {
  // Past the lenient limits it is past the real ones too, and a client is told the real ones.
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
