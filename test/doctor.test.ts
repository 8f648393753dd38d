import { generateKeyPairSync } from 'node:crypto'
import { createServer, type RequestListener } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { sql } from 'kysely'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { requires } from './services/requirements.ts'
import { type Bucket, freshBucket } from './support/bucket.ts'
import { runCommand } from './support/command.ts'
import { freshDatabase, SECRET } from './support/landfall.ts'
import { openLedger } from './support/ledger.ts'
import { startPgBouncer } from './support/pgbouncer.ts'

const ceph = requires('ceph')
const pgbouncer = requires('pgbouncer')
const closers: (() => unknown)[] = []
let database: string

beforeAll(async () => {
  database = await freshDatabase()
})
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
})

/** What it says of this configuration beside a database that is fine. */
async function doctor(
  env: Record<string, string> = {},
): Promise<{ exitCode: number | undefined; lines: string }> {
  const { exitCode, stdout, stderr } = await runCommand('/tmp', ['doctor'], {
    DATABASE_URL: database,
    AUTH_JWT_SECRET: SECRET,
    SCAN: 'off',
    ...env,
  })
  expect(stderr).toBe('')
  return { exitCode, lines: stdout }
}

/** An HTTP server on loopback, for one test. Returns its address. */
async function serve(answer: RequestListener): Promise<string> {
  const server = createServer(answer).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  closers.push(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** A port that takes connections and says nothing, ever. */
async function silentPort(): Promise<number> {
  const server = createTcpServer(() => {}).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  closers.push(() => server.close())
  return (server.address() as AddressInfo).port
}

describe('doctor on tokens', () => {
  const jwk = (kind: 'ec' | 'rsa', bits = 2048) => {
    const { publicKey } =
      kind === 'ec'
        ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
        : generateKeyPairSync('rsa', { modulusLength: bits })
    return { ...publicKey.export({ format: 'jwk' }), kid: `${kind}-${bits}`, use: 'sig' }
  }
  const keySet = (keys: object[]) => serve((_, response) => response.end(JSON.stringify({ keys })))
  const ofIssuer = async (url: string, env: Record<string, string> = {}) =>
    await doctor({ AUTH_JWT_SECRET: '', AUTH_JWKS_URL: url, AUTH_AUDIENCE: 'landfall', ...env })

  it('says how many secrets are read', async () => {
    const { exitCode, lines } = await doctor({ AUTH_JWT_SECRET: `${SECRET} ${SECRET}-2` })
    expect(lines).toMatch(/^ok +tokens: 2 secrets, of which the first signs; HS256$/m)
    expect(exitCode).toBe(0)
  })

  it('fetches the keys of the issuer', async () => {
    const { exitCode, lines } = await ofIssuer(await keySet([jwk('ec'), jwk('rsa'), jwk('rsa', 1024)]))
    expect(lines).toMatch(/^ok +tokens: AUTH_JWKS_URL gives 2 keys for RS256, ES256$/m)
    expect(lines).toMatch(/^warning +tokens: 1 key of AUTH_JWKS_URL is too weak/m)
    expect(exitCode).toBe(0)
  })

  it.each<[string, () => Promise<string>, Record<string, string>, RegExp]>([
    [
      'are for other algorithms',
      () => keySet([jwk('ec')]),
      { AUTH_ALGORITHMS: 'RS256' },
      /none of the 1 key of AUTH_JWKS_URL can be used for RS256/,
    ],
    ['are not there', async () => 'http://127.0.0.1:1/keys', {}, /AUTH_JWKS_URL returned no keys \(.+\)/],
    ['do not come', async () => `http://127.0.0.1:${await silentPort()}/`, {}, /returned no keys \(.+\)/],
    ['are none', () => serve((_, response) => response.end('<html>')), {}, /returned no keys \(.+\)/],
  ])('says that the keys of the issuer %s', async (_what, url, env, text) => {
    const { exitCode, lines } = await ofIssuer(await url(), env)
    expect(lines).toMatch(new RegExp(`^error +tokens: .*${text.source}`, 'm'))
    expect(exitCode).toBe(1)
  })

  it('warns of tokens for others, and of development tokens', async () => {
    const { lines } = await ofIssuer(await keySet([jwk('ec')]), { AUTH_AUDIENCE: '' })
    expect(lines).toMatch(/^warning +tokens: AUTH_AUDIENCE is not set/m)
    expect((await doctor({ AUTH_DEV_TOKENS: 'true' })).lines).toMatch(/^warning +tokens: AUTH_DEV_TOKENS/m)
  })
})

describe('doctor on addresses that are sent to', () => {
  const secret = `whsec_${Buffer.alloc(32, 's').toString('base64')}`

  it('connects to them, sends nothing, and shows the host alone', async () => {
    const requests: unknown[] = []
    const url = await serve((request) => void requests.push(request))
    const env = {
      WEBHOOK_URL: `${url}/hooks/hush-hush`,
      WEBHOOK_SECRET: secret,
      WEBHOOK_ALLOW_PRIVATE: 'true',
      ANALYSIS: 'advisory',
      ANALYSIS_URL: 'http://127.0.0.1:1/hush-hush',
      ANALYSIS_SECRET: secret,
      PUBLIC_URL: 'https://files.example.com',
    }
    const { exitCode, lines } = await doctor(env)
    expect(lines).toMatch(new RegExp(`^ok +WEBHOOK_URL: ${new URL(url).host} can be reached$`, 'm'))
    expect(lines).toMatch(/^error +ANALYSIS_URL: 127\.0\.0\.1:1 cannot be reached \(.*ECONNREFUSED.*\)$/m)
    expect(lines).not.toContain('hush-hush')
    expect([exitCode, requests]).toEqual([1, []])
  })

  it.each<[string, string, RegExp]>([
    ['private', 'http://127.0.0.1:9/', /cannot be reached \(the address is not a public one\)/],
    ['of no name', 'https://nowhere.invalid/', /cannot be reached \(.*(ENOTFOUND|EAI_AGAIN).*\)/],
  ])('says that one is %s', async (_what, WEBHOOK_URL, text) => {
    const { exitCode, lines } = await doctor({ WEBHOOK_URL, WEBHOOK_SECRET: secret })
    expect(lines).toMatch(new RegExp(`^error +WEBHOOK_URL: .*${text.source}$`, 'm'))
    expect(exitCode).toBe(1)
  })
})

describe('doctor on the database', () => {
  it('names version and schema, and hears notifications', async () => {
    const { exitCode, lines } = await doctor()
    expect(lines).toMatch(/^ok +database: answers \(PostgreSQL \d+/m)
    expect(lines).toMatch(/^ok +schema: up to date$/m)
    expect(lines).toMatch(/^ok +database: LISTEN receives/m)
    expect(exitCode).toBe(0)
  })

  it.skipIf(!pgbouncer.met)('says that a pooler keeps no sessions', async () => {
    const pooler = await startPgBouncer(database, 'transaction')
    closers.push(pooler.stop)
    const { exitCode, lines } = await doctor({ DATABASE_URL: pooler.connectionString })
    expect(lines).toMatch(/^error +database: LISTEN does not receive .*pool_mode = session/m)
    expect(exitCode).toBe(1)
  })

  it.skipIf(!pgbouncer.met)('is content with a pooler that keeps them', async () => {
    const pooler = await startPgBouncer(database, 'session')
    closers.push(pooler.stop)
    const { exitCode, lines } = await doctor({ DATABASE_URL: pooler.connectionString })
    expect(lines).toMatch(/^ok +database: LISTEN receives/m)
    expect(exitCode).toBe(0)
  })

  it('says that it takes no writes', async () => {
    const url = await freshDatabase()
    const db = openLedger(url)
    await sql`alter database ${sql.id(new URL(url).pathname.slice(1))} set default_transaction_read_only = on`.execute(
      db,
    )
    await db.destroy()
    const { exitCode, lines } = await doctor({ DATABASE_URL: url })
    expect(lines).toMatch(/^error +database: is read-only: it is a replica/m)
    expect(exitCode).toBe(1)
  })

  it('waits for none that is silent, and says all the rest', async () => {
    const { exitCode, lines } = await doctor({
      DATABASE_URL: `postgres://user:hush@127.0.0.1:${await silentPort()}/db`,
    })
    expect(lines).toMatch(/^error +database: does not answer \(.+\)$/m)
    expect(lines).toMatch(/^ok +tokens: /m)
    expect(lines).not.toContain('hush')
    expect(exitCode).toBe(1)
  })
})

describe.skipIf(!ceph.met)('doctor on a bucket', () => {
  let bucket: Bucket
  beforeAll(async () => {
    bucket = await freshBucket()
  })
  afterAll(() => bucket?.close())

  it('makes every kind of call, and leaves nothing', async () => {
    const { exitCode, lines } = await doctor({ ...bucket.env(), PUBLISH: 'copy', S3_PREFIX: 'of/{owner}/' })
    expect(lines).toMatch(/^ok +storage: bucket \S+ accepts every call that Landfall makes$/m)
    expect(exitCode).toBe(0)
    expect([await bucket.keys(), await bucket.openMultiparts()]).toEqual([[], []])
  })

  it.each<[string, Record<string, string>, RegExp]>([
    [
      'a secret that is wrong',
      { AWS_SECRET_ACCESS_KEY: 'x'.repeat(40) },
      /SignatureDoesNotMatch; AWS_SECRET_ACCESS_KEY/,
    ],
    [
      'a key that is nobody’s',
      { AWS_ACCESS_KEY_ID: 'NOBODY' },
      /InvalidAccessKeyId; this AWS_ACCESS_KEY_ID does not exist/,
    ],
    [
      'a bucket that is not there',
      { S3_BUCKET: 'not-there-at-all' },
      /NoSuchBucket; the bucket does not exist/,
    ],
    ['no gateway', { S3_ENDPOINT: 'http://127.0.0.1:1' }, /ECONNREFUSED/],
  ])('names %s', async (_what, env, text) => {
    const { exitCode, lines } = await doctor({ ...bucket.env(), ...env })
    expect(lines).toMatch(new RegExp(`^error +storage: bucket \\S+: PutObject failed: .*${text.source}`, 'm'))
    expect(exitCode).toBe(1)
  })
})

// The gateway cannot be made to refuse these: a server of the test's own says what S3 says.
describe('doctor on a bucket that refuses', () => {
  const refusing = (isRefused: (method: string, url: string) => boolean, code: string, status = 403) =>
    serve((request, response) => {
      request.resume()
      response.setHeader('Date', new Date(Date.now() - 20 * 60_000).toUTCString())
      if (isRefused(request.method ?? '', request.url ?? '')) {
        response.writeHead(status, { 'Content-Type': 'application/xml' })
        response.end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>no</Message></Error>`)
        return
      }
      response.setHeader('ETag', '"etag"')
      const isCopy = request.headers['x-amz-copy-source'] !== undefined
      response.end(isCopy ? '<CopyObjectResult><ETag>"etag"</ETag></CopyObjectResult>' : '')
    })
  const settings = (S3_ENDPOINT: string) => ({
    STORAGE: 's3',
    S3_BUCKET: 'bucket',
    S3_ENDPOINT,
    AWS_ACCESS_KEY_ID: 'key',
    AWS_SECRET_ACCESS_KEY: 'secret',
  })

  it.each([
    ['ExpiredToken', 'the credentials have expired'],
    ['AccessDenied', 'the credentials lack the permission'],
    ['AuthorizationHeaderMalformed', 'set S3_REGION'],
  ])('explains %s', async (code, text) => {
    const { exitCode, lines } = await doctor(settings(await refusing(() => true, code)))
    expect(lines).toMatch(
      new RegExp(`^error +storage: bucket bucket: PutObject failed: ${code}; .*${text}`, 'm'),
    )
    expect(exitCode).toBe(1)
  })

  it('names the call that is refused, and the clock that is off', async () => {
    const isMultipart = (method: string, url: string) => method === 'POST' && url.includes('uploads')
    const { lines } = await doctor(settings(await refusing(isMultipart, 'AccessDenied')))
    expect(lines).toMatch(/^error +storage: bucket bucket: CreateMultipartUpload failed: AccessDenied; /m)
    expect(lines).toMatch(/^error +clock: the clock of the bucket is 1[12]\d\d s behind this machine's/m)
  })

  it('waits for none that is silent', async () => {
    const { exitCode, lines } = await doctor(settings(`http://127.0.0.1:${await silentPort()}`))
    expect(lines).toMatch(/^error +storage: no answer within 20 s$/m)
    expect(exitCode).toBe(1)
  })
})
