import { readdir } from 'node:fs/promises'
import { onCode } from './error-code.ts'

/** The names in a directory; none where reading it fails with one of these codes: by default, where it does not exist. */
export async function namesIn(directory: string, ...missing: string[]): Promise<string[]> {
  return await readdir(directory).catch(onCode(['ENOENT', ...missing], []))
}
