import { createWriteStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { translateDiskError } from '../../storage/disk/disk-objects.ts'
import type { ToolRun } from '../tools/ffmpeg.ts'
import { isRemote } from '../tools/tool-runner.ts'
import type { StepContext } from './step.ts'
import { toolRun } from './tool-run.ts'

/**
 * A run on a local file, copied into the folder where the object is remote: an address is valid for minutes, and some
 * work takes hours.
 */
export async function localRun(context: StepContext, folder: string): Promise<ToolRun> {
  const { media, objects, signal } = context
  const run = await toolRun(context)
  if (!isRemote(run.input)) return run
  const copy = join(folder, 'source')
  const source = await objects.read(media.storage_key, { etag: media.etag })
  await pipeline(source, createWriteStream(copy), { signal }).catch((error: unknown) => {
    throw translateDiskError(error)
  })
  const { size } = await stat(copy)
  if (size !== media.size) throw new Error(`the storage gave ${size} bytes of ${media.size}`)
  return { ...run, input: copy }
}
