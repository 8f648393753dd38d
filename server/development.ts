import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { onCode } from '../system/error-code.ts'
import type { Environment } from './config.ts'
import { makeDataDirectory } from './process/data-directory.ts'

/** Whether a server on this host is reached from this machine only, except through a proxy on it. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
}

/**
 * What `npm start` adds to the environment for a trial: a secret for tokens, kept in `DATA_DIR`, and `POST /dev/token`.
 * Only on a loopback address and never over existing settings; `/dev/token` only where no setting shows that the server
 * is shared.
 */
export async function developmentEnvironment(env: Environment): Promise<Environment> {
  if (!isLoopback(env.HOST || '127.0.0.1') || env.NODE_ENV === 'production') return env
  const hasKey = env.AUTH_JWT_SECRET || env.AUTH_JWT_PUBLIC_KEY || env.AUTH_JWKS_URL
  const secret = hasKey
    ? {}
    : { AUTH_JWT_SECRET: await keptSecret(join(env.DATA_DIR || './data', 'development-secret')) }
  const tokens =
    env.AUTH_DEV_TOKENS || sharedServerVariable(env) !== undefined ? {} : { AUTH_DEV_TOKENS: 'true' }
  return { ...env, ...secret, ...tokens }
}

/**
 * The variable, if any, that shows that the server is not only for this terminal: an issuer of tokens, or a proxy. Any
 * `AUTH_…` counts, also a misspelt one.
 */
export function sharedServerVariable(env: Environment): string | undefined {
  return Object.keys(env).find(
    (name) =>
      env[name] &&
      (name === 'PUBLIC_URL' ||
        name === 'TRUST_PROXY' ||
        (name.startsWith('AUTH_') && !name.startsWith('AUTH_DEV_'))),
  )
}

async function keptSecret(path: string): Promise<string> {
  await makeDataDirectory(dirname(path))
  const fresh = randomBytes(32).toString('base64url')
  await writeFile(path, fresh, { flag: 'wx', mode: 0o600 }).catch(onCode(['EEXIST'], undefined))
  return await readFile(path, 'utf8')
}

/** For commands beside such a server: adds its stored secret, where no key is set. Creates none. */
export async function withStoredSecret(env: Environment): Promise<Environment> {
  if (env.AUTH_JWT_SECRET || env.AUTH_JWT_PUBLIC_KEY || env.AUTH_JWKS_URL) return env
  const path = join(env.DATA_DIR || './data', 'development-secret')
  const secret = await readFile(path, 'utf8').catch(onCode(['ENOENT'], ''))
  return secret === '' ? env : { ...env, AUTH_JWT_SECRET: secret }
}
