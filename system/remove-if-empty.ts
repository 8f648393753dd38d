import { rmdir } from 'node:fs/promises'
import { isCode } from './error-code.ts'

/** Removes a folder, unless something is in it or it has gone. */
export async function removeIfEmpty(directory: string): Promise<void> {
  try {
    await rmdir(directory)
  } catch (error) {
    if (!isCode(error, 'ENOTEMPTY', 'EEXIST', 'ENOENT')) throw error
  }
}
