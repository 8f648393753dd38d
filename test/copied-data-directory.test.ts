import { mkdir, rename, rm, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { runCommand } from './support/command.ts'
import { SECRET } from './support/landfall.ts'
import { isRunning } from './support/processes.ts'
import {
  findPostgres,
  postgresPid,
  runServer,
  type ServerProcess,
  startServerProcess,
  stopRun,
} from './support/server-process.ts'

const ENV = { SCAN: 'off', WORKER: 'off' }

let original: ServerProcess
beforeAll(async () => {
  original = await startServerProcess(ENV)
})
afterAll(() => original?.stop())

const create = async () => {
  const headers = { 'Tus-Resumable': '1.0.0', 'Upload-Length': '2000' }
  return await original.as('alice')('/files', { method: 'POST', headers })
}

it('a copy of a running DATA_DIR is refused in one line, by serve and by commands, and the original goes on', async () => {
  const copy = join(dirname(original.dataDirectory), 'copy')
  // With its owners, as a backup tool copies.
  await execa('cp', ['-a', original.dataDirectory, copy])
  const postgres = await postgresPid(original.dataDirectory)
  const env = { ...ENV, PORT: '0', AUTH_JWT_SECRET: SECRET }
  for (const args of [['serve'], ['reap'], ['migrate']]) {
    const { exitCode, stderr } = await runCommand(copy, args, env)
    expect([exitCode, stderr]).toEqual([
      1,
      expect.stringMatching(
        /^landfall: [^\n]*copy\/postgres\/cluster is a copy of [^\n]*landfall backup[^\n]*$/,
      ),
    ])
  }
  expect(await isRunning(postgres)).toBe(true)
  expect((await create()).status).toBe(201)
})

it('a DATA_DIR that was moved or is called by another name is its own, also when its server was killed', async () => {
  const parent = dirname(original.dataDirectory)
  const postgres = await postgresPid(original.dataDirectory)
  await original.kill('SIGKILL')
  const moved = join(parent, 'moved')
  await rename(original.dataDirectory, moved)
  const link = join(parent, 'link')
  await symlink(moved, link)
  const run = runServer(link, { env: ENV })
  try {
    await run.address
    expect(await findPostgres(moved)).toBe(postgres)
    expect(run.stdout() + run.stderr()).toContain('took over the embedded database')
  } finally {
    await stopRun(run, moved)
    await rm(link)
    await mkdir(original.dataDirectory, { recursive: true })
  }
})
