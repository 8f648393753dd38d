import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import jwt from 'jsonwebtoken'
import { NODE_FLAGS } from '../../server/process/node-flags.ts'
import { BYTES, sendOne, severally, sha256Of } from './uploads.ts'

// inside.ts PORT UPLOADS AT_ONCE: a server and its clients in the network that they are started in. Prints an `Account`.

export type Account = {
  uploads: number
  identical: number
  resumptions: number
  packetsLost: number
  seconds: number
}

const ROOT = join(import.meta.dirname, '..', '..')
const SECRET = 'a-secret-that-only-the-tests-know-0123456789'

const [port = '', uploads = '', atOnce = ''] = process.argv.slice(2)
// The user postgres has to get through.
const directory = await mkdtemp(join(tmpdir(), 'landfall-lossy-'))
await chmod(directory, 0o755)
const dataDirectory = join(directory, 'data')
const server = startServer()
// Told to end before its time, it ends as it always does: uploads fail without their server.
process.once('SIGTERM', () => server.kill('SIGTERM'))
try {
  await greeting(server)
  console.log(JSON.stringify(await account()))
} finally {
  const exited = server.exitCode === null ? once(server, 'exit') : undefined
  server.kill('SIGTERM')
  await exited
  await rm(directory, { recursive: true })
}

function startServer(): ChildProcess {
  const env = {
    PATH: process.env.PATH,
    DATA_DIR: dataDirectory,
    PORT: port,
    AUTH_JWT_SECRET: SECRET,
    SCAN: 'off',
    WORKER: 'off',
    UPLOAD_MAX_OPEN: '1000',
    LOG_LEVEL: 'warn',
  }
  const program = [...NODE_FLAGS, join(ROOT, 'landfall.ts'), 'serve']
  return spawn(process.execPath, program, { env, stdio: ['ignore', 'pipe', 'inherit'] })
}

async function greeting({ stdout }: ChildProcess): Promise<void> {
  let text = ''
  for await (const part of stdout ?? []) {
    text += part
    if (text.includes('Landfall is at ')) return
  }
  throw new Error(`the server ended: ${text}`)
}

async function account(): Promise<Account> {
  const startedAt = performance.now()
  const token = jwt.sign({}, SECRET, { subject: 'alice', expiresIn: '1h' })
  const sent = await severally(Number(uploads), Number(atOnce), async (number) => {
    const outcome = await sendOne(`http://127.0.0.1:${port}`, token, number)
    const path = join(dataDirectory, 'objects', 'uploads', outcome.uploadId)
    const bytes = await readFile(path)
    await rm(path)
    return { ...outcome, isIdentical: bytes.length === BYTES && sha256Of(bytes) === outcome.sha256 }
  })
  return {
    uploads: sent.length,
    identical: sent.filter(({ isIdentical }) => isIdentical).length,
    resumptions: sent.reduce((sum, { resumptions }) => sum + resumptions, 0),
    packetsLost: packetsLost(),
    seconds: Math.round((performance.now() - startedAt) / 1000),
  }
}

function packetsLost(): number {
  const text = execFileSync('nft', ['list', 'counter', 'ip', 'lossy', 'lost'], { encoding: 'utf8' })
  return Number(/packets (\d+)/.exec(text)?.[1])
}
