import { readFile } from 'node:fs/promises'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { workerEnvironment } from '../server/embedded/worker-environment.ts'
import { shortVideo } from './fixtures/media.ts'
import { requires } from './services/requirements.ts'
import { betweenLooks } from './support/pauses.ts'
import { listProcesses, type ProcessLine } from './support/processes.ts'
import { startServerProcess } from './support/server-process.ts'
import { outcome, sendFile } from './support/uploads.ts'

const ffmpeg = requires('ffmpeg')
const clamd = requires('clamd')
vi.setConfig({ testTimeout: 120_000 })

const undo: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
})

/** What a worker has to know: the database, the bucket, and whom to tell. */
const WORKERS_SECRETS = {
  AWS_ACCESS_KEY_ID: 'worker-secret-access-key',
  AWS_SECRET_ACCESS_KEY: 'worker-secret-of-it',
  WEBHOOK_SECRET: `whsec_${Buffer.from('worker-secret-for-webhooks').toString('base64')}`,
}
/** What nobody has to know but the server. */
const SERVERS_SECRETS = {
  AUTH_JWT_SECRET: 'a-secret-that-only-the-tests-know-0123456789',
  S3_LINK_ACCESS_KEY_ID: 'server-secret-link-key',
  S3_LINK_SECRET_ACCESS_KEY: 'server-secret-of-links',
  SOMEBODY_ELSES_TOKEN: 'server-secret-of-somebody-else',
}

describe.skipIf(process.platform !== 'linux' || !ffmpeg.met || !clamd.met)('a secret of the server', () => {
  it('is in the environment of none of its children, but for what its worker needs', async () => {
    const server = await startServerProcess({
      CLAMD_URL: '',
      HLS: 'on',
      ...WORKERS_SECRETS,
      ...SERVERS_SECRETS,
    })
    undo.push(() => server.stop())
    const own = server.run().pid
    const worker = await server.untilWorker()
    const others = new Map<string, Set<string>>()
    let isWatching = true
    const watching = (async () => {
      while (isWatching) {
        for (const line of (await listProcesses()).filter(({ pid }) => pid !== own)) {
          const found = await secretsOf(line)
          const name = line.pid === worker ? 'worker' : line.command
          if (found.length > 0) others.set(name, new Set([...(others.get(name) ?? []), ...found]))
        }
        await betweenLooks()
      }
    })()
    const { uploadId } = await sendFile(server, 'alice', await shortVideo())
    expect(await outcome(server, 'alice', uploadId)).toMatchObject({ status: 'ready' })
    isWatching = false
    await watching
    expect([...others.keys()]).toEqual(['worker'])
    expect([...(others.get('worker') ?? [])].toSorted()).toEqual(Object.keys(WORKERS_SECRETS).toSorted())
  })
})

it('a worker is given what it reads, and what the libraries that it uses read', () => {
  const needed = {
    ...{
      DATABASE_URL: 'postgres:',
      DATA_DIR: '/data',
      LOG_LEVEL: 'info',
      NODE_ENV: 'production',
      PATH: '/bin',
    },
    ...{ HOME: '/root', AWS_PROFILE: 'p', AWS_WEB_IDENTITY_TOKEN_FILE: '/t', PGSSLROOTCERT: '/c', TZ: 'UTC' },
    ...{ NODE_EXTRA_CA_CERTS: '/c', SSL_CERT_FILE: '/c', LD_PRELOAD: '/l', UV_THREADPOOL_SIZE: '8' },
  }
  const others = {
    ...{ AUTH_JWT_SECRET: 's', AUTH_JWKS_URL: 'u', GITHUB_TOKEN: 't', MY_SECRET: 's', PATHS: '' },
    ...{ LDAP_BIND_PASSWORD: 's', PGP_PASSPHRASE: 's', PGADMIN_DEFAULT_PASSWORD: 's' },
    ...{ NODE_AUTH_TOKEN: 's', NODEMAILER_PASSWORD: 's' },
  }
  expect(workerEnvironment({ ...needed, ...others })).toEqual(needed)
})

/** The names of the secrets in the environment of a process. */
async function secretsOf({ pid }: ProcessLine): Promise<string[]> {
  const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')
  return Object.entries({ ...WORKERS_SECRETS, ...SERVERS_SECRETS })
    .filter(([name, secret]) => environment.includes(`${name}=${secret}`))
    .map(([name]) => name)
}
