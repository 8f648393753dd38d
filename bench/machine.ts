import { readFile, statfs } from 'node:fs/promises'
import { arch, cpus, platform, release, totalmem } from 'node:os'
import { join } from 'node:path'

export type Machine = {
  cpu: string
  cores: number
  memoryBytes: number
  system: string
  node: string
  /** Of the directory that the subjects write to. */
  filesystem: string
}

/** Magic numbers of statfs(2) on Linux. */
const FILESYSTEMS: Record<number, string> = {
  61267: 'ext4',
  1481003842: 'xfs',
  2435016766: 'btrfs',
  16914836: 'tmpfs (memory: nothing is really forced to a disk)',
  2035054128: 'overlayfs',
  801189825: 'zfs',
}

/** Describes this machine, without a name or a path of it. */
export async function describeMachine(directory: string): Promise<Machine> {
  const { type } = await statfs(directory)
  return {
    cpu: cpus()[0]?.model.trim() || 'unknown',
    cores: cpus().length,
    memoryBytes: totalmem(),
    system: `${platform()} ${release()} ${arch()}`,
    node: process.version,
    filesystem: platform() === 'linux' ? (FILESYSTEMS[type] ?? `0x${type.toString(16)}`) : 'unknown',
  }
}

const ROOT = join(import.meta.dirname, '..')

/** The installed versions of what is compared. */
export async function readVersions(): Promise<Record<string, string>> {
  const read = async (directory: string): Promise<string> =>
    (JSON.parse(await readFile(join(ROOT, directory, 'package.json'), 'utf8')) as { version: string }).version
  const packages = ['@tus/server', '@tus/file-store', '@tus/s3-store', '@aws-sdk/client-s3']
  const versions = packages.map(async (name) => [name, await read(join('node_modules', name))] as const)
  return Object.fromEntries([['landfall', await read('.')] as const, ...(await Promise.all(versions))])
}
