import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../../server/embedded/free-port.ts'
import { programPath } from '../services/requirements.ts'
import { betweenLooks } from './pauses.ts'

const START_MS = 10_000

/** A real PgBouncer in front of a database. A suite calls `requires('pgbouncer')` first. */
export type Pooler = { connectionString: string; stop(): Promise<void> }

export async function startPgBouncer(database: string, poolMode: 'session' | 'transaction'): Promise<Pooler> {
  const directory = await mkdtemp(join(tmpdir(), 'landfall-pgbouncer-'))
  const port = await freePort()
  const { hostname, port: postgresPort, username, password, pathname } = new URL(database)
  const file = join(directory, 'pgbouncer.ini')
  const backend = `host=${hostname} port=${postgresPort} user=${username} password=${decodeURIComponent(password)}`
  const lines = [
    '[databases]',
    `* = ${backend}`,
    '[pgbouncer]',
    'listen_addr = 127.0.0.1',
    `listen_port = ${port}`,
    'unix_socket_dir =',
    'auth_type = any',
    `pool_mode = ${poolMode}`,
    'ignore_startup_parameters = extra_float_digits,options',
    // It refuses to run as root.
    ...(process.getuid?.() === 0 ? ['user = nobody'] : []),
  ]
  await writeFile(file, lines.join('\n'))
  await chmod(directory, 0o755)
  const child = spawn(programPath('pgbouncer'), ['--quiet', file], { stdio: 'ignore' })
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
    await rm(directory, { recursive: true, force: true })
  }
  const deadline = performance.now() + START_MS
  while (!(await isListening(port))) {
    if (child.exitCode !== null || performance.now() > deadline) {
      await stop()
      throw new Error('PgBouncer did not start')
    }
    await betweenLooks(50)
  }
  return { connectionString: `postgres://${username}@127.0.0.1:${port}${pathname}`, stop }
}

async function isListening(port: number): Promise<boolean> {
  const socket = connect({ port, host: '127.0.0.1' })
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}
