import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, rmdir, statfs, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { privateMounts } from '../services/private-mounts.ts'

/** A disk that a test can fill. */
export type SmallDisk = {
  directory: string
  /** Bytes that can be stored. */
  free(): Promise<number>
  /** Takes all space but this much, or gives it back. */
  leaveFree(bytes: number): Promise<void>
  close(): Promise<void>
}

/**
 * A file system in memory of this size, and for no more `files` than that where it says so. It is mounted for a process that does nothing else, and reached through
 * that process: whatever becomes of the test, it goes when its holder does, and the holder when we do. A suite
 * calls `requires('tmpfs')` first.
 */
export async function openSmallDisk(bytes: number, options: { files?: number } = {}): Promise<SmallDisk> {
  const [program, ...rest] = privateMounts() ?? []
  if (!program) throw new Error("nothing may be mounted: skip this suite by requires('tmpfs')")
  const size = `size=${bytes}${options.files === undefined ? '' : `,nr_inodes=${options.files}`}`
  const mountPoint = await mkdtemp(join(tmpdir(), 'landfall-small-disk-'))
  const script = 'mount -t tmpfs -o "$1" tmpfs "$0" && echo mounted && exec cat'
  const holder = spawn(program, [...rest, 'sh', '-c', script, mountPoint, size], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const gone = once(holder, 'exit')
  const close = async () => {
    holder.stdin.end()
    await gone
    await rmdir(mountPoint)
  }
  const isMounted = await Promise.race([once(holder.stdout, 'data').then(() => true), gone.then(() => false)])
  if (!isMounted) {
    await close()
    throw new Error('the small disk could not be mounted')
  }
  const directory = join('/proc', String(holder.pid), 'root', mountPoint)
  const ballast = join(directory, 'ballast')
  const free = async () => {
    const { bavail, bsize } = await statfs(directory)
    return bavail * bsize
  }
  return {
    directory,
    free,
    async leaveFree(bytes) {
      await rm(ballast, { force: true })
      await writeFile(ballast, Buffer.alloc(Math.max(0, (await free()) - bytes)))
    },
    close,
  }
}
