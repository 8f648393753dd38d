import { randomUUID } from 'node:crypto'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { isCode } from '../error-code.ts'

// A scratch folder says in its own name how many bytes may come into it: whoever looks for room on this disk, in
// whichever process, sees that from the moment it is made, and no longer than it is there.

const CLAIM = /\.(\d{1,15})$/

/** The name of a new folder into which so many bytes may come. */
export const scratchName = (bytes: number): string => `${randomUUID()}.${Math.ceil(bytes)}`

/** Bytes that are still to come to the folders at root/<name>/<folder>. */
export async function scratchToCome(root: string): Promise<number> {
  let sum = 0
  for (const name of await namesIn(root)) {
    for (const folder of await namesIn(join(root, name))) {
      const claimed = Number(CLAIM.exec(folder)?.[1] ?? 0)
      if (claimed > 0) sum += Math.max(claimed - (await bytesIn(join(root, name, folder))), 0)
    }
  }
  return sum
}

async function bytesIn(folder: string): Promise<number> {
  let sum = 0
  for (const name of await namesIn(folder)) sum += await sizeOf(join(folder, name))
  return sum
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size
  } catch (error) {
    if (isCode(error, 'ENOENT')) return 0
    throw error
  }
}

/** None of a directory that is not there, and of what is no directory. */
export async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory)
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ENOTDIR')) return []
    throw error
  }
}
