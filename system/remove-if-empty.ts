import { rmdir } from 'node:fs/promises'
import { onCode } from './error-code.ts'

/** Removes a folder, unless something is in it or it has gone. */
export async function removeIfEmpty(directory: string): Promise<void> {
  await rmdir(directory).catch(onCode(['ENOTEMPTY', 'EEXIST', 'ENOENT'], undefined))
}
