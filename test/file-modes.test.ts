import { execFile } from 'node:child_process'
import { chmod, lstat, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { closeDataDirectory, makeDataDirectory } from '../server/process/data-directory.ts'
import { DiskObjects } from '../storage/disk/disk-objects.ts'
import { shortVideo } from './fixtures/media.ts'
import { requires } from './services/requirements.ts'
import { runCommand } from './support/command.ts'
import { betweenLooks } from './support/pauses.ts'
import { enterableDirectory, startServerProcess } from './support/server-process.ts'
import { createId, idOf, metadataHeader, patch } from './support/tus.ts'
import { outcome } from './support/uploads.ts'

const ffmpeg = requires('ffmpeg')
const clamd = requires('clamd')
const isRoot = process.getuid?.() === 0
/** Whom PostgreSQL and clamd run as, they have to pass through where we are root. */
const CLOSED = isRoot ? 0o711 : 0o700
vi.setConfig({ testTimeout: 240_000 })

const undo: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
})

async function freshDirectory(): Promise<string> {
  const directory = await enterableDirectory()
  undo.push(() => rm(directory, { recursive: true, force: true }))
  return directory
}

const modeOf = async (path: string) => (await stat(path)).mode & 0o777

/** What is below a directory that others than its owner may read, write or enter, with its mode. */
async function openBelow(directory: string): Promise<string[]> {
  const found: string[] = []
  const look = async (folder: string): Promise<void> => {
    for (const name of await readdir(folder).catch(() => [])) {
      const path = join(folder, name)
      // It may go while we look.
      const entry = await lstat(path).catch(() => undefined)
      if (!entry || entry.isSymbolicLink()) continue
      if ((entry.mode & 0o077) !== 0)
        found.push(`${relative(directory, path)} ${(entry.mode & 0o777).toString(8)}`)
      if (entry.isDirectory()) await look(path)
    }
  }
  await look(directory)
  return found
}

describe.skipIf(!ffmpeg.met || !clamd.met)('everything below DATA_DIR', () => {
  it('is for its owner alone, while a server works and afterwards', async () => {
    const server = await startServerProcess({ CLAMD_URL: '', HLS: 'on', PUBLISH: 'copy', DEEP_CHECK: 'full' })
    undo.push(() => server.stop())
    const { dataDirectory } = server
    const seen = new Set<string>()
    let isWatching = true
    const watching = (async () => {
      while (isWatching) {
        for (const one of await openBelow(dataDirectory)) seen.add(one)
        await betweenLooks()
      }
    })()

    const video = await shortVideo()
    const bytes = await readFile(video.path)
    const cut = Math.floor(bytes.length / 2)
    const parts = await Promise.all(
      [bytes.subarray(0, cut), bytes.subarray(cut)].map(async (body) => {
        const headers = { 'Upload-Concat': 'partial' }
        const id = await createId(server, 'alice', { size: body.length, headers })
        expect((await patch(server, 'alice', id, { offset: 0, body })).status).toBe(204)
        return `/files/${id}`
      }),
    )
    const final = await fetch(`${server.url}/files`, {
      method: 'POST',
      headers: {
        Authorization: `Bearer ${server.token('alice')}`,
        'Tus-Resumable': '1.0.0',
        'Upload-Concat': `final;${parts.join(' ')}`,
        'Upload-Metadata': metadataHeader({ filename: video.name }),
      },
    })
    expect(final.status).toBe(201)
    expect(await outcome(server, 'alice', idOf(final))).toMatchObject({ status: 'ready' })
    const objects = join(dataDirectory, 'objects')
    const files = async () => (await readdir(objects, { recursive: true })).join('\n')
    await expect.poll(files, { timeout: 120_000, interval: 200 }).toMatch(/^renditions\/.*hls/m)
    expect(await files()).toMatch(/^public\/.*mp4$/m)

    const backup = join(dataDirectory, '..', 'backup')
    undo.push(() => rm(backup, { recursive: true, force: true }))
    expect(await runCommand(dataDirectory, ['backup', backup])).toMatchObject({ exitCode: 0 })
    isWatching = false
    await watching
    expect([...seen]).toEqual([])
    expect(await modeOf(dataDirectory)).toBe(CLOSED)
    expect([await modeOf(backup), await openBelow(backup)]).toEqual([0o700, []])
  })
})

describe('a DATA_DIR of an earlier release', () => {
  it('is closed, with the folders in it, when it is next used', async () => {
    const directory = join(await freshDirectory(), 'data')
    await mkdir(join(directory, 'objects', 'uploads'), { recursive: true })
    await mkdir(join(directory, 'postgres'))
    await writeFile(join(directory, 'development-secret'), 'secret', { mode: 0o644 })
    for (const name of ['', 'objects', 'postgres']) await chmod(join(directory, name), 0o755)
    expect(await closeDataDirectory(directory)).toEqual([])
    expect(await modeOf(directory)).toBe(CLOSED)
    expect(await modeOf(join(directory, 'objects'))).toBe(0o700)
    expect(await modeOf(join(directory, 'postgres'))).toBe(0o700)
    expect(await modeOf(join(directory, 'development-secret'))).toBe(0o600)
  })

  it('is left as it is where it has something else in it: what is ours is closed, and that is said', async () => {
    const directory = await freshDirectory()
    await mkdir(join(directory, 'objects'), { mode: 0o755 })
    await mkdir(join(directory, 'photos'), { mode: 0o755 })
    expect(await closeDataDirectory(directory)).toEqual([expect.stringContaining('photos')])
    expect(await modeOf(directory)).toBe(0o755)
    expect(await modeOf(join(directory, 'photos'))).toBe(0o755)
    expect(await modeOf(join(directory, 'objects'))).toBe(0o700)
  })

  it('is not made where it is only to be closed', async () => {
    const directory = join(await freshDirectory(), 'data')
    expect(await closeDataDirectory(directory)).toEqual([])
    await expect(stat(directory)).rejects.toThrow('ENOENT')
  })

  it('gives its modes to no copy of a file', async () => {
    const directory = await freshDirectory()
    const objects = await DiskObjects.open(join(directory, 'objects'))
    const source = join(directory, 'source')
    await writeFile(source, 'bytes')
    await chmod(source, 0o644)
    await objects.putFile('renditions/m/one', source)
    expect(await modeOf(objects.pathOf('renditions/m/one'))).toBe(0o600)
  })

  it.skipIf(!isRoot)(
    'that is made for a path of its own can be passed by the users of PostgreSQL and clamd',
    async () => {
      const parent = await freshDirectory()
      const directory = join(parent, 'a', 'b', 'data')
      await makeDataDirectory(directory)
      await promisify(execFile)('test', ['-x', directory], { uid: 65534, gid: 65534 })
      for (const path of ['a', 'a/b', 'a/b/data']) expect(await modeOf(join(parent, path))).toBe(0o711)
    },
  )
})
