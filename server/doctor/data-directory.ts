import { access, constants, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { isCode } from '../../system/error-code.ts'
import { error, type Finding, ok, warning } from './finding.ts'

/** Whether `DATA_DIR`, or the folder in which it will be created, is writable and closed to others. */
export async function checkDataDirectory(directory: string): Promise<readonly Finding[]> {
  const there = await nearest(directory)
  try {
    await access(there, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch {
    return [
      error(`data: ${there} cannot be written by this user; change DATA_DIR or the owner of the folder`),
    ]
  }
  if (there !== directory) return [ok(`data: ${directory} does not exist yet and can be created`)]
  const { mode } = await stat(directory)
  return (mode & 0o066) === 0
    ? [ok(`data: ${directory} is writable`)]
    : [warning(`data: ${directory} can be read by other users of this machine: chmod 700 ${directory}`)]
}

/** The folder, or its nearest existing parent. */
async function nearest(directory: string): Promise<string> {
  try {
    await stat(directory)
    return directory
  } catch (failure) {
    if (!isCode(failure, 'ENOENT') || dirname(directory) === directory) return directory
    return await nearest(dirname(directory))
  }
}
