import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { runCommand } from './support/command.ts'
import { listProcesses } from './support/processes.ts'
import { enterableDirectory, findPostgres, type Run, runServer, stopRun } from './support/server-process.ts'

/** Each with what it prints as JSON when there is nothing to do. */
const ON_THE_LEDGER: [string[], object][] = [
  [['retry', '--all'], { media: [] }],
  [['reap'], { expired: 0, purged: 0 }],
  [['webhooks', 'list'], { deliveries: [] }],
  [['migrate'], { applied: [] }],
  [['move', '--to', 'disk'], { moved: 0, damaged: [], left: { atRest: 0, processing: 0, open: 0 } }],
]

describe('commands on the default installation', () => {
  let parent: string
  let dataDirectory: string
  let run: Run

  beforeAll(async () => {
    parent = await enterableDirectory()
    dataDirectory = join(parent, 'data')
    run = runServer(dataDirectory, { args: ['--dev'], env: { AUTH_JWT_SECRET: '', WORKER: 'off' } })
    await run.address
  })
  afterAll(async () => {
    await stopRun(run, dataDirectory)
    await rm(parent, { recursive: true, force: true })
  })

  const succeeds = async (args: string[], expected: object) => {
    const { exitCode, stdout, stderr } = await runCommand(dataDirectory, [...args, '--json'])
    expect([exitCode, stderr]).toEqual([0, ''])
    expect(JSON.parse(stdout)).toMatchObject(expected)
  }

  it.each(ON_THE_LEDGER)('%j finds the database of the server that runs', async (args, expected) => {
    await succeeds(args, expected)
    expect((await fetch(`${await run.address}/healthz`)).status).toBe(200)
  })

  it('doctor looks at it, and at the development secret', async () => {
    const { stdout } = await runCommand(dataDirectory, ['doctor'], { SCAN: 'off' })
    expect(stdout).toMatch(
      /^(ok|warning) +disk of storage: [\d.]+ GiB of [\d.]+ GiB free, 0\.0 GiB reserved/m,
    )
    expect(stdout).toMatch(/^ok +schema: up to date$/m)
    expect(stdout).toMatch(/^ok +tokens: 1 secret; HS256$/m)
  })

  it('token signs with the development secret, and the server accepts it', async () => {
    const { exitCode, stdout, stderr } = await runCommand(dataDirectory, ['token', '--sub', 'alice'])
    expect([exitCode, stderr]).toEqual([0, ''])
    const headers = { Authorization: `Bearer ${stdout}` }
    expect((await fetch(`${await run.address}/api/v1/quota`, { headers })).status).toBe(200)
  })

  describe('when its server has stopped', () => {
    beforeAll(() => stopRun(run, dataDirectory))

    const nothingRuns = async () => {
      expect(await findPostgres(dataDirectory)).toBeUndefined()
      expect((await listProcesses()).filter(({ command }) => command.includes(dataDirectory))).toEqual([])
    }

    it.each(ON_THE_LEDGER)('%j starts the database and stops it afterwards', async (args, expected) => {
      await succeeds(args, expected)
      await nothingRuns()
    })

    it('doctor starts the database and stops it afterwards', async () => {
      const { stdout } = await runCommand(dataDirectory, ['doctor'], { SCAN: 'off' })
      expect(stdout).toMatch(/^ok +schema: up to date$/m)
      await nothingRuns()
    })

    it('several at a time share the database, and the last leaves nothing running', async () => {
      await Promise.all(ON_THE_LEDGER.map(([args, expected]) => succeeds(args, expected)))
      await nothingRuns()
    })
  })
})

describe('an embedded database of another major version of PostgreSQL', () => {
  it('is left as it is, and server and commands say in one line what to do', async () => {
    const parent = await enterableDirectory()
    const cluster = join(parent, 'data', 'postgres', 'cluster')
    await mkdir(cluster, { recursive: true })
    await writeFile(join(cluster, 'PG_VERSION'), '9\n')
    await writeFile(join(parent, 'data', 'postgres', 'password'), 'hush')
    try {
      const said =
        /^landfall: the embedded database in \S+ was created by PostgreSQL 9, but this release includes \d+: [^\n]*landfall backup[^\n]*landfall restore[^\n]*$/m
      const command = await runCommand(join(parent, 'data'), ['reap'])
      expect([command.exitCode, command.stderr]).toEqual([1, expect.stringMatching(said)])
      const run = runServer(join(parent, 'data'))
      expect(await run.exited).toEqual({ code: 1, signal: null })
      expect(run.stderr()).toMatch(said)
      expect(await readdir(cluster)).toEqual(['PG_VERSION'])
    } finally {
      await rm(parent, { recursive: true, force: true })
    }
  })
})

describe('commands without their database', () => {
  let directory: string
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'landfall-commands-'))
  })
  afterAll(() => rm(directory, { recursive: true, force: true }))

  it.each(ON_THE_LEDGER)('%j says in a line that there is none, and makes none', async (args) => {
    const { exitCode, stdout, stderr } = await runCommand(join(directory, 'data'), args)
    expect(stderr).toMatch(/^landfall: DATABASE_URL: "" is not accepted; .* there is no database below \S+$/)
    expect([exitCode, stdout]).toEqual([2, ''])
    expect(await readdir(directory)).toEqual([])
  })

  it('doctor says that there is none yet, and makes none', async () => {
    const { stdout } = await runCommand(join(directory, 'data'), ['doctor'], { SCAN: 'off' })
    expect(stdout).toMatch(/^ok +database: none yet; serve creates one below /m)
    expect(await readdir(directory)).toEqual([])
  })

  it('token makes up no secret', async () => {
    const { exitCode, stdout } = await runCommand(join(directory, 'data'), ['token', '--sub', 'alice'])
    expect([exitCode, stdout]).toEqual([2, ''])
    expect(await readdir(directory)).toEqual([])
  })

  it.each(ON_THE_LEDGER)('%j says in a line that the database does not answer', async (args) => {
    const env = { DATABASE_URL: 'postgres://user:hush-hush@127.0.0.1:1/db' }
    const { exitCode, stdout, stderr } = await runCommand(directory, args, env)
    expect(stderr).toMatch(/^landfall: the database does not answer \(.*ECONNREFUSED.*\)$/)
    expect([exitCode, stdout]).toEqual([1, ''])
  })
})

describe('commands on a database that is not a ledger, or not up to date', () => {
  const name = `commands_${process.pid}_${Date.now()}`
  const url = () => Object.assign(new URL(inject('postgresUrl')), { pathname: `/${name}` }).href

  const query = async (connectionString: string, statement: string): Promise<unknown[]> => {
    const client = new pg.Client(connectionString)
    await client.connect()
    const { rows } = await client.query(statement)
    await client.end()
    return rows
  }
  const everything = () =>
    query(
      url(),
      "select nspname, relname from pg_class join pg_namespace on pg_namespace.oid = relnamespace where nspname !~ '^pg_(catalog|toast)|^information_schema' order by 1, 2",
    )

  beforeAll(async () => {
    await query(inject('postgresUrl'), `create database ${name}`)
    await query(url(), 'create table customers (id integer)')
  })
  afterAll(() => query(inject('postgresUrl'), `drop database ${name} with (force)`))

  const onTheSchema = ON_THE_LEDGER.filter(([[command]]) => command !== 'migrate')

  it.each(onTheSchema)('%j says so in one line and creates nothing in a foreign one', async (args) => {
    const before = await everything()
    const { exitCode, stdout, stderr } = await runCommand('/nowhere', args, { DATABASE_URL: url() })
    expect(stderr).toMatch(/^landfall: the database is not Landfall's: [^\n]*$/)
    expect([exitCode, stdout]).toEqual([1, ''])
    expect(await everything()).toEqual(before)
    expect(await query(url(), "select 1 from pg_namespace where nspname in ('landfall', 'pgboss')")).toEqual(
      [],
    )
  })

  it('says so in one line where migrations are due', async () => {
    await runCommand('/nowhere', ['migrate'], { DATABASE_URL: url() })
    await query(url(), "delete from landfall.kysely_migration where name >= '0005'")
    const { exitCode, stderr } = await runCommand('/nowhere', ['retry', '--all'], { DATABASE_URL: url() })
    expect(stderr).toMatch(
      /^landfall: nothing was changed: the database lacks migrations \(0005-[^\n]*landfall migrate[^\n]*$/,
    )
    expect(exitCode).toBe(1)
  })
})
