import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../../server/embedded/free-port.ts'
import { programPath } from '../services/requirements.ts'
import { betweenLooks } from './pauses.ts'

const DEPLOY = join(import.meta.dirname, '..', '..', 'deploy')
const START_MS = 10_000

export type ProxyName = 'nginx' | 'haproxy'

/** A real proxy in front of servers, with the file of `deploy/` in which nothing but addresses is changed. */
export type ReverseProxy = { url: string; stop(): Promise<void> }

/** Starts it on a free loopback port; `servers` are `host:port`. */
export async function startReverseProxy(name: ProxyName, servers: readonly string[]): Promise<ReverseProxy> {
  const directory = await mkdtemp(join(tmpdir(), `landfall-${name}-`))
  const port = await freePort()
  const child =
    name === 'nginx' ? await nginx(directory, port, servers) : await haproxy(directory, port, servers)
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGTERM')
      await once(child, 'exit')
    }
    await rm(directory, { recursive: true, force: true })
  }
  try {
    await untilListening(child, port)
  } catch (error) {
    await stop()
    throw error
  }
  return { url: `http://127.0.0.1:${port}`, stop }
}

async function nginx(directory: string, port: number, servers: readonly string[]): Promise<ChildProcess> {
  const site = await deployed('nginx/landfall.conf', [
    ['listen 80;', `listen 127.0.0.1:${port};`],
    [
      'server 127.0.0.1:1080 max_fails=0;',
      servers.map((address) => `server ${address} max_fails=0;`).join(' '),
    ],
  ])
  const kinds = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  for (const kind of kinds) await mkdir(join(directory, kind))
  const user = process.getuid?.() === 0 ? ['user root;'] : []
  const lines = [
    ...user,
    'daemon off;',
    `pid ${directory}/pid;`,
    'error_log /dev/null;',
    'events {}',
    'http {',
    'access_log off;',
    ...kinds.map((kind) => `${kind}_temp_path ${directory}/${kind};`),
    site,
    '}',
  ]
  await writeFile(join(directory, 'nginx.conf'), lines.join('\n'))
  return spawn(programPath('nginx'), ['-c', join(directory, 'nginx.conf'), '-e', '/dev/null'], {
    stdio: 'ignore',
  })
}

async function haproxy(directory: string, port: number, servers: readonly string[]): Promise<ChildProcess> {
  const text = await deployed('haproxy/haproxy.cfg', [
    ['bind :80', `bind 127.0.0.1:${port}`],
    [
      'server one 127.0.0.1:1080',
      servers.map((address, index) => `server s${index} ${address}`).join('\n  '),
    ],
  ])
  await writeFile(join(directory, 'haproxy.cfg'), text)
  return spawn(programPath('haproxy'), ['-db', '-f', join(directory, 'haproxy.cfg')], { stdio: 'ignore' })
}

/** A file of `deploy/` with these changes, each of which it must have the place for. */
async function deployed(file: string, changes: readonly [from: string, to: string][]): Promise<string> {
  let text = await readFile(join(DEPLOY, file), 'utf8')
  for (const [from, to] of changes) {
    if (!text.includes(from)) throw new Error(`deploy/${file} has no line "${from}"`)
    text = text.replaceAll(from, to)
  }
  return text
}

async function untilListening(child: ChildProcess, port: number): Promise<void> {
  const deadline = performance.now() + START_MS
  while (performance.now() < deadline) {
    if (child.exitCode !== null) throw new Error(`the proxy ended with ${child.exitCode}`)
    const socket = connect(port, '127.0.0.1')
    const isThere = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    })
    socket.destroy()
    if (isThere) return
    await betweenLooks(50)
  }
  throw new Error('the proxy does not listen')
}
