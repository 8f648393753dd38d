import type { MediaRow } from '../../ledger/media.ts'
import type { Ffmpeg, ToolRun } from './ffmpeg.ts'
import { type Hashed, type HashedStreams, readStreams, writtenStreams } from './hash-arguments.ts'
import type { RemuxPlan } from './remux-arguments.ts'
import { UnreadableInput } from './tool-errors.ts'

/** A written file and its original. */
export type Copied = {
  ffmpeg: Ffmpeg
  media: Pick<MediaRow, 'video_codec'>
  plan: RemuxPlan
  original: ToolRun
  written: ToolRun
}

/**
 * Fails with `UnreadableInput` unless every packet of the written file equals one of the original; or, where a
 * container stores them in another form, decodes to the same, as far as `decodedHashes` covers.
 */
export async function checkPackets(copied: Copied): Promise<void> {
  const { ffmpeg, plan, original, written } = copied
  const before = await ffmpeg.hashes({ ...original, hashed: 'packets', streams: readStreams(plan) })
  const after = await ffmpeg.hashes({ ...written, hashed: 'packets', streams: writtenStreams(plan) })
  if (before === after) return
  const streams = readStreams(plan)
  if ((await decodedHashes(copied, original, streams)) !== (await decodedHashes(copied, written)))
    throw new UnreadableInput('the copy does not contain what was read')
}

/**
 * Hashes of the decoded file: all of its sound, and the first minute and the key frames of its pictures. Fails like
 * `Ffmpeg.hashes`.
 */
export async function decodedHashes(
  { ffmpeg, media, plan }: Copied,
  run: ToolRun,
  streams: HashedStreams = writtenStreams(plan),
): Promise<string> {
  const pictures: Hashed[] =
    // ffmpeg's Theora decoder reports skipped frames as errors.
    media.video_codec === 'theora' ? ['first-frames'] : ['first-frames', 'key-frames']
  const all: Hashed[] = [
    ...(plan.video.length > 0 ? pictures : []),
    ...(plan.audio.length > 0 ? (['sound'] as const) : []),
  ]
  const hashes: string[] = []
  for (const hashed of all) hashes.push(await ffmpeg.hashes({ ...run, hashed, streams }))
  return hashes.join('\n')
}
