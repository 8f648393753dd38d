import { type FileHandle, open } from 'node:fs/promises'

/** Opens a file for as long as `work` runs. Flags and mode are those of `open`. */
export async function withFile<Result>(
  path: string,
  { flags, mode }: { flags: string; mode?: number },
  work: (file: FileHandle) => Promise<Result>,
): Promise<Result> {
  const file = await open(path, flags, mode)
  try {
    return await work(file)
  } finally {
    await file.close()
  }
}
