import { ContentRejected } from '../../content/verdict.ts'
import { ObjectMissing, StorageFull } from '../../storage/store/objects.ts'
import { isDiskFull } from '../tools/disk-full.ts'
import { InputNotDelivered, UnreadableInput } from '../tools/tool-errors.ts'
import { isRemote } from '../tools/tool-runner.ts'
import type { StepContext } from './step.ts'

const CHECK_MS = 30_000

/**
 * A tool could not read a file: returns `ContentRejected` if the storage has all of its bytes, `ObjectMissing` if it
 * has none, and the error itself otherwise.
 */
export async function asDamage(
  error: unknown,
  { objects, media }: Pick<StepContext, 'objects' | 'media'>,
): Promise<unknown> {
  // A library may need disk space to unpack a picture. ffmpeg's messages may quote the file itself.
  if (!(error instanceof UnreadableInput) && isDiskFull(error)) return new StorageFull({ cause: error })
  const size = await objects.sizeOf(media.storage_key)
  if (size === undefined) return new ObjectMissing(media.storage_key, { cause: error })
  return size === media.size
    ? new ContentRejected({ code: 'damaged', detail: 'The file is damaged or incomplete.' })
    : error
}

/**
 * Runs a tool that reads the file. It is reported as damaged only where all of it is stored; and where the file is in a
 * bucket, only where its last byte can be fetched by the address that tools use, and a second run, without the local
 * copy, finds the same: network faults can look like damage, and a rejection is final.
 */
export async function withDamageConfirmed<Found>(
  context: Pick<StepContext, 'objects' | 'media' | 'copy' | 'signal'>,
  look: () => Promise<Found>,
): Promise<Found> {
  const judged = async (): Promise<Found> => {
    try {
      return await look()
    } catch (error) {
      if (!isDamage(error)) throw error
      const verdict = await asDamage(error, context)
      // The first error says more about the damage.
      throw verdict instanceof ContentRejected && error instanceof ContentRejected ? error : verdict
    }
  }
  const { objects, media } = context
  if (!isRemote(await objects.toolInput(media.storage_key))) return await judged()
  try {
    return await judged()
  } catch (error) {
    if (!isDamage(error)) throw error
  }
  context.copy?.drop()
  await checkWay(context)
  return await judged()
}

/**
 * Fetches the last byte from the tool's address: a proxy may answer with a page or with a shorter object. Fails with
 * `InputNotDelivered`.
 */
async function checkWay({
  objects,
  media,
  signal,
}: Pick<StepContext, 'objects' | 'media' | 'signal'>): Promise<void> {
  const last = media.size - 1
  const response = await fetch(await objects.toolInput(media.storage_key), {
    headers: { Range: `bytes=${last}-${last}` },
    signal: AbortSignal.any([signal, AbortSignal.timeout(CHECK_MS)]),
  }).catch((error: unknown) => {
    throw new InputNotDelivered('us', { cause: error })
  })
  await response.body?.cancel()
  const range = response.headers.get('Content-Range')
  if (response.status !== 206 || range !== `bytes ${last}-${last}/${media.size}`) {
    throw new InputNotDelivered(`us: ${response.status}, ${range ?? 'no range'}`)
  }
}

function isDamage(error: unknown): boolean {
  return (
    error instanceof UnreadableInput || (error instanceof ContentRejected && error.verdict.code === 'damaged')
  )
}
