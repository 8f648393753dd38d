import { randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Environment } from './config.ts'

/** Whether only this machine can reach a server that listens there. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
}

/**
 * What `npm start` adds to the environment so that Landfall can be tried at once: a secret for tokens,
 * kept in `DATA_DIR`, and `POST /dev/token`. Only on a loopback address, and never over what is set.
 */
export async function developmentEnvironment(env: Environment): Promise<Environment> {
  if (!isLoopback(env.HOST || '127.0.0.1') || env.NODE_ENV === 'production') return env
  const hasKey = env.AUTH_JWT_SECRET || env.AUTH_JWT_PUBLIC_KEY || env.AUTH_JWKS_URL
  const secret = hasKey
    ? env.AUTH_JWT_SECRET
    : await keptSecret(join(env.DATA_DIR || './data', 'development-secret'))
  if (!secret) return env
  return { ...env, AUTH_JWT_SECRET: secret, AUTH_DEV_TOKENS: env.AUTH_DEV_TOKENS || 'true' }
}

async function keptSecret(path: string): Promise<string> {
  await mkdir(dirname(path), { recursive: true })
  try {
    await writeFile(path, randomBytes(32).toString('base64url'), { flag: 'wx', mode: 0o600 })
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
  }
  return await readFile(path, 'utf8')
}
