import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Fixture, jpeg, shortVideo } from '../fixtures/media.ts'
import { sha256Of, videoOfSize } from '../support/s3-landfall.ts'
import type { Model } from './portrait.ts'

export type FileKind = 'video' | 'large-video' | 'image'

/** What comes to each step, in turn. A step of the pipeline that is missing here fails the test. */
const KINDS_OF_STEP: Readonly<Record<string, readonly FileKind[]>> = {
  assemble: ['large-video', 'image'],
  identify: ['image', 'video'],
  scan: ['video', 'large-video', 'image'],
  probe: ['video', 'image'],
  'deep-check': ['video'],
  thumbnail: ['video', 'image'],
  storyboard: ['video'],
  audio: ['video'],
  image: ['image'],
  analysis: ['image', 'video'],
  'pre-publish': ['image', 'video'],
  publish: ['image', 'video'],
  notify: ['video', 'image'],
  hls: ['video'],
}

/** Of several parts where a bucket stores it. */
const LARGE_BYTES = 12 * 1024 * 1024

/**
 * The n-th file, from 0, that comes to a step.
 * @throws Error if none does, or the step has nothing to do with it
 */
export function kindFor(step: string, n: number, models: Record<FileKind, Model>): FileKind {
  const kinds = KINDS_OF_STEP[step] ?? []
  const kind = kinds[n % kinds.length]
  if (kind === undefined) throw new Error(`no file comes to the step "${step}": name one in KINDS_OF_STEP`)
  if (!models[kind].stepMs.has(step)) throw new Error(`the step "${step}" has nothing to do with the ${kind}`)
  return kind
}

/** Makes the files that are missing below `directory`. */
export async function loadFiles(directory: string): Promise<Record<FileKind, Fixture>> {
  const large = await videoOfSize(LARGE_BYTES, 'steps')
  const path = join(directory, 'large.mp4')
  await writeFile(path, large)
  return {
    video: await shortVideo(),
    'large-video': {
      path,
      size: large.length,
      sha256: sha256Of(large),
      name: 'large.mp4',
      contentType: 'video/mp4',
    },
    image: await jpeg({ width: 1600, height: 900 }),
  }
}
