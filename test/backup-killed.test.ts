import { existsSync } from 'node:fs'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runCommand, startCommand } from './support/command.ts'
import { freshDatabase } from './support/landfall.ts'
import { betweenLooks } from './support/pauses.ts'
import { patterned } from './support/s3-landfall.ts'
import {
  enterableDirectory,
  findPostgres,
  runServer,
  type ServerProcess,
  startServerProcess,
  stopRun,
} from './support/server-process.ts'
import { createId, head, patch } from './support/tus.ts'

const ENV = { SCAN: 'off', UPLOAD_MAX_OPEN: '1000', WORKER: 'off' }
const SIZE = 24 * 1024 * 1024
const FILES = 6

/** Ends at once, in the middle of whatever it is at when something is there. */
async function killedAt(isThere: () => boolean, directory: string, args: string[], env = {}): Promise<void> {
  const command = startCommand(directory, args, env)
  const end = Date.now() + 60_000
  while (!isThere()) {
    if (Date.now() > end) throw new Error('it never came so far')
    await betweenLooks(1)
  }
  command.kill('SIGKILL')
  expect((await command).signal).toBe('SIGKILL')
}

describe('kill -9 in the middle', () => {
  let parent: string
  let target: ServerProcess
  const ids: string[] = []
  const archive = () => join(parent, 'backup')

  beforeAll(async () => {
    parent = await enterableDirectory()
    target = await startServerProcess(ENV)
    for (let index = 0; index < FILES; index++) {
      const id = await createId(target, 'alice', { size: 2 * SIZE })
      const sent = await patch(target, 'alice', id, { offset: 0, body: patterned(SIZE, String(index)) })
      expect(sent.status).toBe(204)
      ids.push(id)
    }
  })
  afterAll(async () => {
    await target?.stop()
    await rm(parent, { recursive: true, force: true })
  })

  const refused = async (directory: string, args: string[], env = {}) => {
    const { exitCode, stdout, stderr } = await runCommand(directory, args, env)
    expect([exitCode, stdout, stderr.split('\n')]).toEqual([1, '', [expect.any(String)]])
    return stderr
  }

  it('of a backup leaves nothing that is taken for one, and says so', async () => {
    const partial = `${archive()}.partial`
    await killedAt(() => existsSync(join(partial, 'objects', 'uploads')), target.dataDirectory, [
      'backup',
      archive(),
    ])
    expect([existsSync(archive()), existsSync(join(partial, 'manifest.json'))]).toEqual([false, false])
    const empty = join(parent, 'empty')
    for (const directory of [archive(), partial])
      expect(await refused(empty, ['restore', directory])).toBe(
        `landfall: ${directory} is not a complete backup: it has no manifest.json`,
      )
    expect(existsSync(empty)).toBe(false)
    expect(await refused(target.dataDirectory, ['backup', archive()])).toContain(
      'or was killed; remove it first',
    )
    await rm(partial, { recursive: true })
    expect((await runCommand(target.dataDirectory, ['backup', archive()])).exitCode).toBe(0)
  })

  // It starts a dozen processes, one after the other.
  it('of a restore leaves nothing that anything runs on, and it is restored again where that is emptied', async () => {
    const directory = join(parent, 'restored')
    const restoring = join(directory, 'restoring')
    await killedAt(() => existsSync(join(restoring, 'objects', 'uploads')), directory, ['restore', archive()])
    const left = await findPostgres(restoring)
    expect(await readdir(directory)).toEqual(['restoring'])

    const run = runServer(directory, { env: ENV })
    expect(await run.exited).toEqual({ code: 1, signal: null })
    const interrupted = `a restore to ${directory} is still running or was interrupted: empty the directory and restore again`
    expect(run.stderr()).toContain(interrupted)
    for (const command of ['reap', 'recount', 'migrate'])
      expect(await refused(directory, [command])).toBe(`landfall: ${interrupted}`)
    expect(await refused(directory, ['backup', join(parent, 'of-half')])).toBe(`landfall: ${interrupted}`)
    expect(await refused(directory, ['restore', archive()])).toMatch(
      /is not empty: a restore is running .*interrupted/,
    )

    if (left !== undefined) process.kill(left, 'SIGQUIT')
    await expect.poll(() => findPostgres(restoring), { timeout: 20_000 }).toBeUndefined()
    await rm(directory, { recursive: true })
    expect((await runCommand(directory, ['restore', archive()])).exitCode).toBe(0)
    const again = runServer(directory, { env: ENV })
    try {
      const url = await again.address
      for (const id of ids) {
        const answer = await head({ url, token: target.token }, 'alice', id)
        expect(answer.headers.get('Upload-Offset')).toBe(String(SIZE))
      }
    } finally {
      await stopRun(again, directory)
    }
  }, 180_000)

  it('of a restore leaves the database of DATABASE_URL empty, which is filled last', async () => {
    const directory = join(parent, 'external')
    const env = { DATABASE_URL: await freshDatabase() }
    const files = join(directory, 'restoring', 'objects', 'uploads')
    await killedAt(() => existsSync(files), directory, ['restore', archive()], env)
    const worker = await refused(directory, ['worker'], env)
    expect(worker).toContain('is still running or was interrupted')
    await rm(directory, { recursive: true })
    expect((await runCommand(directory, ['restore', archive()], env)).exitCode).toBe(0)
  })
})
