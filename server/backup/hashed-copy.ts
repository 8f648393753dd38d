import { createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import { withFile } from '../../system/with-file.ts'

/** Bytes copied at a time. */
const CHUNK_BYTES = 1024 * 1024

/** Writes a new file durably, readable by its owner only. Returns its SHA-256, as hex, and its bytes. */
export async function writeHashed(
  path: string,
  source: AsyncIterable<Uint8Array>,
): Promise<{ sha256: string; bytes: number }> {
  const hash = createHash('sha256')
  return await withFile(path, { flags: 'wx', mode: 0o600 }, async (handle) => {
    let bytes = 0
    for await (const chunk of source) {
      hash.update(chunk)
      await handle.writeFile(chunk)
      bytes += chunk.byteLength
    }
    await handle.datasync()
    return { sha256: hash.digest('hex'), bytes }
  })
}

/** The current bytes of a file; fails with ENOENT at once where there is none. */
export async function openForReading(path: string): Promise<AsyncIterable<Uint8Array>> {
  const handle = await open(path, 'r')
  return handle.createReadStream({ highWaterMark: CHUNK_BYTES })
}
