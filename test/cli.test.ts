import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import jwt from 'jsonwebtoken'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { requires } from './services/requirements.ts'
import { freshDatabase, SECRET, startLandfall } from './support/landfall.ts'

const MAIN = join(import.meta.dirname, '..', 'landfall.ts')

let dataDirectory: string

beforeAll(async () => {
  dataDirectory = await mkdtemp(join(tmpdir(), 'landfall-cli-'))
})
afterAll(() => rm(dataDirectory, { recursive: true, force: true }))

/** Runs a command as a process of its own, with these variables and no others. */
async function landfall(args: string[], env: Record<string, string> = {}) {
  const { exitCode, stdout, stderr } = await execa(process.execPath, [MAIN, ...args], {
    env: { PATH: process.env.PATH ?? '', DATA_DIR: dataDirectory, ...env },
    extendEnv: false,
    reject: false,
    stdin: 'ignore',
    timeout: 50_000,
  })
  return { exitCode, stdout, stderr }
}

/** A database with nothing in it, and the function that drops it. */
async function emptyDatabase(): Promise<{ url: string; drop(): Promise<void> }> {
  const name = `cli_${process.pid}_${Date.now()}`
  const run = async (statement: string) => {
    const client = new pg.Client(inject('postgresUrl'))
    await client.connect()
    await client.query(statement)
    await client.end()
  }
  await run(`create database ${name}`)
  const url = Object.assign(new URL(inject('postgresUrl')), { pathname: `/${name}` }).href
  return { url, drop: () => run(`drop database ${name} with (force)`) }
}

describe('a command called or configured wrongly ends with code 2 and says why, one line each', () => {
  const none = 'AUTH_JWT_SECRET, AUTH_JWT_PUBLIC_KEY, AUTH_JWKS_URL: none is set; exactly one is needed'
  it.each<[string, string[], Record<string, string>, string[]]>([
    [
      'bad values',
      ['serve'],
      { AUTH_JWT_SECRET: 'short', PORT: 'http', UPLOAD_MAX_SIZE: 'big' },
      [
        'landfall: PORT: "http" is not accepted; it takes a whole number from 0 to 65535',
        'landfall: AUTH_JWT_SECRET: its value is not accepted; it takes a secret of at least 32 characters, or up to 8 of them, separated by spaces or commas',
        'landfall: UPLOAD_MAX_SIZE: "big" is not accepted; it takes a size such as 500MB (decimal) or 5GiB (binary)',
      ],
    ],
    ['no key', ['serve'], {}, [`landfall: ${none}`]],
    [
      'development tokens in production',
      ['serve', '--dev'],
      { NODE_ENV: 'production', AUTH_JWT_SECRET: SECRET, AUTH_DEV_TOKENS: 'true' },
      ['landfall: AUTH_DEV_TOKENS: "true" is not accepted; with NODE_ENV=production it takes false'],
    ],
    ['nothing made up beyond loopback', ['serve', '--dev'], { HOST: '0.0.0.0' }, [`landfall: ${none}`]],
    [
      'a worker without a database',
      ['worker'],
      {},
      ['landfall: DATABASE_URL: "" is not accepted; a worker takes the database of the server it works for'],
    ],
    ['a token for nobody', ['token'], { AUTH_JWT_SECRET: SECRET }, [expect.stringContaining('--sub NAME')]],
    [
      'a token for no time',
      ['token', '--sub', 'alice', '--expires', '0'],
      { AUTH_JWT_SECRET: SECRET },
      [expect.stringContaining('--expires a whole number of seconds')],
    ],
    [
      'a token where another signs them',
      ['token', '--sub', 'alice'],
      { AUTH_JWKS_URL: 'https://issuer.test/keys' },
      [expect.stringContaining('AUTH_JWT_SECRET')],
    ],
    ['an unknown command', ['sreve'], {}, ['landfall: there is no command "sreve"; see landfall --help']],
    ['an unknown option', ['migrate', '--force'], {}, [expect.stringContaining("'--force'")]],
  ])('%s', async (_what, args, env, lines) => {
    const { exitCode, stdout, stderr } = await landfall(args, env)
    expect(stderr.split('\n')).toEqual(lines)
    expect(exitCode).toBe(2)
    expect(stdout).toBe('')
  })
})

describe('help', () => {
  const COMMANDS = [
    'serve',
    'worker',
    'migrate',
    'reap',
    'retry',
    'webhooks',
    'token',
    'backup',
    'restore',
    'doctor',
  ]

  it.each([[['--help']], [['help']], [['-h']]])('%j names every command and the exit codes', async (args) => {
    const { exitCode, stdout, stderr } = await landfall(args)
    expect([exitCode, stderr]).toEqual([0, ''])
    for (const command of COMMANDS) expect(stdout).toContain(`\n  ${command}`)
    expect(stdout).toContain('Exit codes: 0 ')
  })

  it.each(COMMANDS)('of %s is about that command', async (command) => {
    const { exitCode, stdout, stderr } = await landfall([command, '--help'])
    expect([exitCode, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(new RegExp(`^Usage: landfall ${command}\\b`, 'm'))
    expect(stdout.includes('--json')).toBe(command !== 'serve' && command !== 'worker')
  })

  it('is also given to who calls nothing, as a mistake', async () => {
    const { exitCode, stdout } = await landfall([])
    expect(exitCode).toBe(2)
    expect(stdout).toContain('Usage:')
  })
})

describe('token', () => {
  it('prints a token that a server with the same settings accepts', async () => {
    const env = { AUTH_JWT_SECRET: SECRET, AUTH_ISSUER: 'https://issuer.test', AUTH_AUDIENCE: 'landfall' }
    const server = await startLandfall({ withoutWorker: true, env })
    try {
      const args = ['token', '--sub', "o'hara", '--scope', 'admin other', '--expires', '60']
      const { exitCode, stdout, stderr } = await landfall(args, env)
      expect([exitCode, stderr]).toEqual([0, ''])
      const claims = jwt.decode(stdout)
      expect(claims).toMatchObject({ sub: "o'hara", scope: 'admin other' })
      const headers = { Authorization: `Bearer ${stdout}` }
      expect((await fetch(`${server.url}/api/v1/quota`, { headers })).status).toBe(200)
    } finally {
      await server.close()
    }
  })
})

describe('migrate', () => {
  it('makes an empty database one that a server can use, and does nothing the second time', async () => {
    const database = await emptyDatabase()
    try {
      const first = await landfall(['migrate'], { DATABASE_URL: database.url })
      expect(first).toMatchObject({ exitCode: 0, stderr: '' })
      expect(first.stdout).toMatch(/^applied: 0001-ledger/)
      const second = await landfall(['migrate'], { DATABASE_URL: database.url })
      expect(second).toEqual({ exitCode: 0, stdout: 'the database is up to date', stderr: '' })
    } finally {
      await database.drop()
    }
  })

  it('ends with code 1 when the database does not answer, without showing its password', async () => {
    const result = await landfall(['migrate'], { DATABASE_URL: 'postgres://user:hush-hush@127.0.0.1:1/db' })
    expect(result.exitCode).toBe(1)
    expect(result.stderr).not.toBe('')
    expect(result.stdout + result.stderr).not.toContain('hush-hush')
  })
})

describe('doctor', () => {
  const ffmpeg = requires('ffmpeg')

  it.skipIf(!ffmpeg.met)('finds nothing wrong where all is well', async () => {
    const env = { DATABASE_URL: await freshDatabase(), SCAN: 'off' }
    const { exitCode, stdout, stderr } = await landfall(['doctor'], env)
    expect([exitCode, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(/^ok +configuration: /m)
    expect(stdout).toMatch(/^ok +ffmpeg: ffmpeg version/m)
    expect(stdout).toMatch(/^ok +ffprobe: ffprobe version/m)
    expect(stdout).toMatch(/^ok +schema: up to date/m)
    expect(stdout).toMatch(/^warning +clamd: SCAN=off/m)
  })

  it('says what is missing and ends with code 1', async () => {
    const database = await emptyDatabase()
    try {
      const { exitCode, stdout } = await landfall(['doctor'], {
        DATABASE_URL: database.url,
        FFMPEG_PATH: '/no/such/ffmpeg',
        CLAMD_URL: 'tcp://127.0.0.1:1',
      })
      expect(exitCode).toBe(1)
      expect(stdout).toMatch(/^error +ffmpeg: "\/no\/such\/ffmpeg" cannot be run.*FFMPEG_PATH$/m)
      expect(stdout).toMatch(/^warning +schema: pending migrations: 0001-ledger/m)
      expect(stdout).toMatch(/^warning +clamd: tcp:\/\/127.0.0.1:1 \(CLAMD_URL\): does not answer/m)
    } finally {
      await database.drop()
    }
  })

  it('says that the database does not answer', async () => {
    const { exitCode, stdout } = await landfall(['doctor'], {
      DATABASE_URL: 'postgres://user:hush@127.0.0.1:1/db',
    })
    expect(exitCode).toBe(1)
    expect(stdout).toMatch(/^error +database: does not answer \(.*\d+.*\)$/m)
    expect(stdout).not.toContain('hush')
  })
})
