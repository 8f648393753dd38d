import { readdir, readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'

/** Every file below a directory, by its path from there. */
export async function filesBelow(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(directory, join(entry.parentPath, entry.name)))
}

/** Those of the files below a directory that hold this text anywhere. */
export async function filesHolding(directory: string, text: string): Promise<string[]> {
  const files = await filesBelow(directory)
  const contents = await Promise.all(files.map((file) => readFile(join(directory, file))))
  return files.filter((_, index) => contents[index]?.includes(text))
}
