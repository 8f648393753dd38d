import { rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { FORMATS, formatOfType } from '../../content/formats.ts'
import { ContentRejected } from '../../content/verdict.ts'
import type { MediaFacts } from '../../ledger/media.ts'
import { scrubFile } from '../scrubbing/scrubbed-file.ts'
import { checkPackets, decodedHashes } from '../tools/copy-check.ts'
import type { ToolRun } from '../tools/ffmpeg.ts'
import { readProbe } from '../tools/probe-report.ts'
import { copyTypeOf, muxersOf, planRemux, type RemuxPlan } from '../tools/remux-arguments.ts'
import { maxCopyBytes } from '../tools/scratch-size.ts'
import { UnreadableInput } from '../tools/tool-errors.ts'
import type { StepContext } from './step.ts'
import { localRun } from './tool-run.ts'

/** Containers use different units, and some do not have the length of the last frame. */
const DURATION_SECONDS = 1
const DURATION_PART = 0.02

/**
 * Writes picture and sound of the media item unchanged into a new file in the folder, without anything else of the
 * original: see `remux-arguments.ts`, `scrubbing/codecs.ts` for what codecs carry, and `copy-check.ts` for the check.
 * Fails with `UnreadableInput` or `ToolFailed` where that cannot be done.
 */
export async function writeStripped(
  context: StepContext,
  folder: string,
): Promise<{ path: string; size: number; contentType: string }> {
  const { media, ffmpeg } = context
  const run = await localRun(context, folder)
  const plan = planRemux((await ffmpeg.probe({ ...run, isQuick: true })).json, media.kind)
  if (!plan) throw new UnreadableInput('there is no picture or sound that can be written')
  const maxBytes = maxCopyBytes(media)
  const contentType = copyTypeOf(media)
  const { demuxers = [] } = formatOfType(FORMATS, contentType) ?? {}
  let failure: unknown = new UnreadableInput(`no ${contentType} is written`)
  for (const [n, muxer] of muxersOf(contentType).entries()) {
    const path = join(folder, `stripped-${n}`)
    try {
      await ffmpeg.remux({ ...run, plan, muxer, folder, path, maxBytes })
      const written = { ...run, demuxers, input: path, size: (await stat(path)).size }
      // At the limit it may be only the beginning.
      if (written.size >= maxBytes) throw new UnreadableInput('it would become much larger')
      const copied = { ffmpeg, media, plan, original: run, written }
      await checkPackets(copied)
      let before: string | undefined
      await scrubFile(ffmpeg, written, contentType, {
        beforeChange: async () => {
          before = await decodedHashes(copied, written)
        },
      })
      if (before !== undefined && (await decodedHashes(copied, written)) !== before)
        throw new UnreadableInput('without what was overwritten it does not decode as before')
      await compare(context, written, plan)
      return { path, size: (await stat(path)).size, contentType }
    } catch (error) {
      if (!(error instanceof UnreadableInput)) throw error
      failure = error
      // Space was claimed for one file.
      await rm(path, { force: true })
    }
  }
  throw failure
}

/** A muxer may drop what it cannot hold and still succeed. Fails with `UnreadableInput`. */
async function compare({ media, ffmpeg }: StepContext, run: ToolRun, plan: RemuxPlan): Promise<void> {
  const found = await lookAt(ffmpeg, run)
  const isRight =
    found.video_streams === plan.video.length &&
    found.audio_streams === plan.audio.length &&
    found.width === media.width &&
    found.height === media.height &&
    (found.rotation ?? 0) === (media.rotation ?? 0) &&
    isAsLong(found.duration_seconds ?? null, media.duration_seconds)
  if (!isRight) throw new UnreadableInput('the copy does not contain what was read')
}

async function lookAt(ffmpeg: StepContext['ffmpeg'], run: ToolRun): Promise<MediaFacts> {
  const probed = await ffmpeg.probe(run)
  try {
    return readProbe({ ...probed, size: run.size })
  } catch (error) {
    // The copy is damaged, not the file.
    if (error instanceof ContentRejected)
      throw new UnreadableInput(`what was written is damaged: ${probed.complaints}`)
    throw error
  }
}

/** Some originals have no duration; a copy of them has one. */
function isAsLong(seconds: number | null, original: number | null): boolean {
  if (seconds === null || original === null) return true
  return Math.abs(seconds - original) <= Math.max(DURATION_SECONDS, original * DURATION_PART)
}
