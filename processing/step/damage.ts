import { ContentRejected } from '../../content/verdict.ts'
import { ObjectMissing, StorageFull } from '../../storage/store/objects.ts'
import { isDiskFull } from '../tools/disk-full.ts'
import { InputNotDelivered, UnreadableInput } from '../tools/tool-errors.ts'
import type { StepContext } from './step.ts'

const CHECK_MS = 30_000

/**
 * What it means that a tool could not read a file: that it is damaged, if all of its bytes are there.
 * Otherwise the error itself, or `ObjectMissing`.
 */
export async function asDamage(
  error: unknown,
  { objects, media }: Pick<StepContext, 'objects' | 'media'>,
): Promise<unknown> {
  // A library that unpacks a picture may need room for it. What ffmpeg says may be the file's own words.
  if (!(error instanceof UnreadableInput) && isDiskFull(error)) return new StorageFull({ cause: error })
  const size = await objects.sizeOf(media.storage_key)
  if (size === undefined) return new ObjectMissing(media.storage_key, { cause: error })
  return size === media.size
    ? new ContentRejected({ code: 'damaged', detail: 'The file is damaged or incomplete.' })
    : error
}

/**
 * Lets a tool look at the object over the network. That the file is damaged is believed only where the whole
 * object is there, the tool's way to it leads to its last byte, and a second look finds the same: what comes
 * over the network can look damaged for many reasons, and a file is turned away for ever.
 */
export async function withDamageConfirmed<Found>(
  context: Pick<StepContext, 'objects' | 'media' | 'signal'>,
  look: () => Promise<Found>,
): Promise<Found> {
  const judged = async (): Promise<Found> => {
    try {
      return await look()
    } catch (error) {
      if (!isDamage(error)) throw error
      const verdict = await asDamage(error, context)
      // What it said of the damage says more.
      throw verdict instanceof ContentRejected && error instanceof ContentRejected ? error : verdict
    }
  }
  try {
    return await judged()
  } catch (error) {
    if (!isDamage(error)) throw error
  }
  await checkWay(context)
  return await judged()
}

/**
 * Fetches the last byte from the address that a tool gets. Something in between may answer it with a page, or
 * with a shorter object than the storage has. Fails with `InputNotDelivered`.
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
