import { appendFile, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openDatabase } from '../ledger/database.ts'
import { jpeg } from './fixtures/media.ts'
import { requires } from './services/requirements.ts'
import { runCommand } from './support/command.ts'
import { freshDatabase } from './support/landfall.ts'
import { slowly } from './support/pauses.ts'
import {
  enterableDirectory,
  findPostgres,
  runServer,
  type ServerProcess,
  startServerProcess,
  stopRun,
} from './support/server-process.ts'
import { openSmallDisk } from './support/small-disk.ts'
import { createId, head, patch } from './support/tus.ts'
import { outcome, process as processed, sendFile } from './support/uploads.ts'

const ffmpeg = requires('ffmpeg')
const ENV = { SCAN: 'off', UPLOAD_MAX_OPEN: '1000' }

describe.skipIf(!ffmpeg.met)('a backup', () => {
  let parent: string
  let target: ServerProcess
  let file: Awaited<ReturnType<typeof jpeg>>
  let bytes: Buffer

  beforeAll(async () => {
    parent = await enterableDirectory()
    target = await startServerProcess(ENV)
    file = await jpeg({ width: 1600, height: 900 })
    bytes = await readFile(file.path)
  })
  afterAll(async () => {
    await target?.stop()
    await rm(parent, { recursive: true, force: true })
  })

  const content = async (server: Pick<ServerProcess, 'as'>, mediaId: string) => {
    const answer = await server.as('alice')(`/api/v1/media/${mediaId}/content`)
    expect(answer.status).toBe(200)
    return Buffer.from(await answer.arrayBuffer())
  }

  it('taken while files arrive has all that was acknowledged before, and a server goes on from it', async () => {
    const ready = await processed(target, 'alice', file)
    const half = Math.floor(bytes.length / 2)
    const open = await createId(target, 'alice', { size: bytes.length, metadata: { filename: 'half.jpg' } })
    await patch(target, 'alice', open, { offset: 0, body: bytes.subarray(0, half) })
    const waiting: string[] = []
    const until = new AbortController()
    const uploading = (async () => {
      while (!until.signal.aborted) {
        const { uploadId } = await sendFile(target, 'bob', file)
        waiting.push(uploadId)
        // All of them are processed by two servers: a few a second are enough.
        await slowly(200)
      }
    })()
    await expect.poll(() => waiting.length, { timeout: 30_000 }).toBeGreaterThanOrEqual(2)
    const before = [...waiting]

    const archive = join(parent, 'backup')
    const made = await runCommand(target.dataDirectory, ['backup', archive, '--json'])
    until.abort()
    await uploading
    expect([made.exitCode, made.stderr]).toEqual([0, ''])
    expect(JSON.parse(made.stdout)).toMatchObject({ directory: archive })
    // It goes on after the backup: what is restored is an upload of that moment.
    await patch(target, 'alice', open, { offset: half, body: bytes.subarray(half) })
    await execa('sha256sum', ['--quiet', '-c', 'files.sha256'], { cwd: archive })
    for (const name of await readdir(archive, { recursive: true })) {
      expect((await stat(join(archive, name))).mode & 0o077).toBe(0)
    }

    const restoredDirectory = join(parent, 'restored', 'data')
    const restored = await runCommand(restoredDirectory, ['restore', archive])
    expect([restored.exitCode, restored.stderr]).toEqual([0, ''])
    expect(await findPostgres(restoredDirectory)).toBeUndefined()
    expect((await readdir(restoredDirectory)).toSorted()).toEqual(['objects', 'postgres'])

    const run = runServer(restoredDirectory, { env: ENV })
    try {
      const url = await run.address
      const second = { ...target, url, as: (sub: string) => fetchAs(target, url, sub) }
      expect((await content(second, ready.id)).equals(bytes)).toBe(true)
      for (const id of before) {
        expect(await outcome(second, 'bob', id)).toMatchObject({
          status: 'ready',
          sha256: file.sha256,
        })
      }
      expect((await head(second, 'alice', open)).headers.get('Upload-Offset')).toBe(String(half))
      expect((await patch(second, 'alice', open, { offset: half, body: bytes.subarray(half) })).status).toBe(
        204,
      )
      expect(await outcome(second, 'alice', open)).toMatchObject({ sha256: file.sha256 })
      // New rows get numbers of their own.
      expect(await processed(second, 'carol', file)).toMatchObject({ status: 'ready' })
    } finally {
      await stopRun(run, restoredDirectory)
    }
  }, 120_000)

  it('is not written over anything, nor beside one that was killed', async () => {
    const full = join(parent, 'full')
    await writeFile(full, '')
    const refused = await runCommand(target.dataDirectory, ['backup', full])
    expect([refused.exitCode, refused.stderr]).toEqual([
      1,
      expect.stringMatching(/^landfall: [^\n]*full[^\n]*$/),
    ])
    const again = await runCommand(target.dataDirectory, ['backup', join(parent, 'backup')])
    expect(again.stderr).toMatch(/^landfall: \S+ is not empty: [^\n]*$/)
    const archive = join(parent, 'again')
    await execa('mkdir', [`${archive}.partial`])
    const beside = await runCommand(target.dataDirectory, ['backup', archive])
    expect([beside.exitCode, beside.stderr]).toEqual([
      1,
      expect.stringMatching(/\.partial is there: [^\n]*$/),
    ])
  })

  it('is not written in the place of a file system, which cannot be renamed, with or without lost+found', async (context) => {
    if (!requires('tmpfs').met) return context.skip()
    const disk = await openSmallDisk(1_000_000)
    try {
      await mkdir(join(disk.directory, 'lost+found'))
      const refused = await runCommand(target.dataDirectory, ['backup', disk.directory])
      expect([refused.exitCode, refused.stderr]).toEqual([
        1,
        expect.stringMatching(/^landfall: \S+ is a file system of its own, [^\n]*: name a folder in it$/),
      ])
      expect(await readdir(disk.directory)).toEqual(['lost+found'])
    } finally {
      await disk.close()
    }
  })

  it('that finds the disk full says so in one line, and leaves nothing: the next one begins anew', async (context) => {
    if (!requires('tmpfs').met) return context.skip()
    const disk = await openSmallDisk(64_000_000)
    try {
      const archive = join(disk.directory, 'backup')
      // Within the first table, and within an object.
      for (const free of [0, 8 * 4096]) {
        await disk.leaveFree(free)
        const full = await runCommand(target.dataDirectory, ['backup', archive])
        expect([full.exitCode, full.stderr]).toEqual([
          1,
          expect.stringMatching(
            /^landfall: the backup to \S+ failed, and nothing of it is left: ENOSPC[^\n]*$/,
          ),
        ])
        expect(await readdir(disk.directory)).toEqual(['ballast'])
      }
      await rm(join(disk.directory, 'ballast'))
      expect(await runCommand(target.dataDirectory, ['backup', archive])).toMatchObject({
        exitCode: 0,
        stderr: '',
      })
    } finally {
      await disk.close()
    }
  })

  describe('is restored', () => {
    const archive = () => join(parent, 'backup')
    const refusal = async (directory: string, from: string, env = {}) => {
      const { exitCode, stdout, stderr } = await runCommand(directory, ['restore', from], env)
      expect([exitCode, stdout]).toEqual([1, ''])
      return stderr
    }

    it('into no directory that has something in it', async () => {
      expect(await refusal(target.dataDirectory, archive())).toMatch(/^landfall: \S+ is not empty: [^\n]*$/)
    })

    it('only where it is whole', async () => {
      const directory = join(parent, 'whole')
      expect(await refusal(directory, parent)).toMatch(/is not a complete backup: it has no manifest.json$/)
      const copy = join(parent, 'copy')
      await execa('cp', ['-r', archive(), copy])
      const [object = ''] = (await readdir(join(copy, 'objects'), { recursive: true })).filter((name) =>
        name.startsWith('uploads/'),
      )
      await appendFile(join(copy, 'objects', object), 'x')
      expect(await refusal(directory, copy)).toBe(
        `landfall: the backup is damaged: objects/${object} does not match its checksum`,
      )
      await rm(join(copy, 'tables', 'media.jsonl.gz'))
      expect(await refusal(directory, copy)).toMatch(/damaged: tables\/media.jsonl.gz/)
      await appendFile(join(copy, 'files.sha256'), '\n')
      expect(await refusal(directory, copy)).toMatch(/damaged: files.sha256/)
      // Nothing is left of the attempts.
      expect(await readdir(directory)).toEqual([])
    })

    it('by no release that is older, and says which migrations it lacks', async () => {
      const copy = join(parent, 'newer')
      await execa('cp', ['-r', archive(), copy])
      const manifest = JSON.parse(await readFile(join(copy, 'manifest.json'), 'utf8'))
      manifest.migrations.push('9999-later')
      await writeFile(join(copy, 'manifest.json'), JSON.stringify(manifest))
      expect(await refusal(join(parent, 'older'), copy)).toMatch(/newer release.*9999-later$/)
    })

    it('into a database of its own as well, if that is empty', async () => {
      const connectionString = await freshDatabase()
      const directory = join(parent, 'external')
      const env = { DATABASE_URL: connectionString }
      expect((await runCommand(directory, ['restore', archive()], env)).exitCode).toBe(0)
      const db = openDatabase({
        connectionString,
        maxConnections: 1,
        applicationName: 'test',
        onPoolError: () => {},
      })
      const media = await db.selectFrom('landfall.media').select('id').execute()
      await db.destroy()
      expect(media.length).toBeGreaterThan(0)
      expect(await refusal(join(parent, 'external-2'), archive(), env)).toMatch(/database .* is not empty/)
    })

    it('into no database that has something in it, and makes nothing there', async () => {
      const fills = {
        table: 'create table public.customers (id int)',
        view: 'create schema theirs; create view theirs.orders as select 1 as id',
      }
      for (const [name, statement] of Object.entries(fills)) {
        const connectionString = await freshDatabase({ isEmpty: true })
        const client = new pg.Client({ connectionString })
        await client.connect()
        await client.query(statement)
        expect(
          await refusal(join(parent, `used-${name}`), archive(), { DATABASE_URL: connectionString }),
        ).toMatch(/^landfall: the database of DATABASE_URL is not empty: [^\n]*$/)
        const { rows } = await client.query(
          "select to_regnamespace('landfall') as l, to_regnamespace('pgboss') as b",
        )
        await client.end()
        expect(rows).toEqual([{ l: null, b: null }])
      }
    })

    it('into no ledger in which somebody has set something', async () => {
      const connectionString = await freshDatabase()
      const env = { DATABASE_URL: connectionString }
      expect((await runCommand(join(parent, 'set'), ['migrate'], env)).exitCode).toBe(0)
      const client = new pg.Client({ connectionString })
      await client.connect()
      await client.query("insert into landfall.quotas (owner_id, bytes_limit) values ('alice', 5)")
      expect(await refusal(join(parent, 'set-2'), archive(), env)).toMatch(/database .* is not empty/)
      await client.query('delete from landfall.quotas')
      await client.end()
      expect((await runCommand(join(parent, 'set-3'), ['restore', archive()], env)).exitCode).toBe(0)
    })

    it('into a new file system', async () => {
      const directory = join(parent, 'volume')
      await mkdir(join(directory, 'lost+found'), { recursive: true })
      const restored = await runCommand(directory, ['restore', archive()])
      expect([restored.exitCode, restored.stderr]).toEqual([0, ''])
      expect(await readdir(directory)).toContain('lost+found')
    })

    it('or says that it was not, when it is killed: no server starts on half of it', async () => {
      const directory = join(parent, 'killed')
      await execa('mkdir', ['-p', join(directory, 'restoring')])
      const run = runServer(directory, { env: ENV })
      expect(await run.exited).toEqual({ code: 1, signal: null })
      expect(run.stderr()).toContain(`a restore to ${directory} is still running or was interrupted`)
      expect(await refusal(directory, archive())).toMatch(/is not empty/)
    })
  })
})

const fetchAs =
  (target: ServerProcess, url: string, sub: string) =>
  (path: string, init: RequestInit = {}): Promise<Response> =>
    fetch(new URL(path, url), { ...init, headers: { Authorization: `Bearer ${target.token(sub)}` } })
