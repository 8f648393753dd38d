import type { StepContext } from './step.ts'

/** Bytes `[start, end]` of the media item in memory. Fails when the storage delivers fewer. */
export async function readRange(
  { media, objects, signal }: Pick<StepContext, 'media' | 'objects' | 'signal'>,
  start: number,
  end: number,
): Promise<Buffer> {
  const source = await objects.read(media.storage_key, { range: { start, end }, etag: media.etag })
  const bytes = Buffer.concat(await source.toArray({ signal }))
  if (bytes.length !== end - start + 1)
    throw new Error(`${bytes.length} bytes were read of ${end - start + 1}`)
  return bytes
}
