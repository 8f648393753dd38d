import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../../server/embedded/free-port.ts'
import { programPath } from '../services/requirements.ts'
import type { Certificate } from './certificate.ts'
import { betweenLooks } from './pauses.ts'

const DEPLOY = join(import.meta.dirname, '..', '..', 'deploy')
const START_MS = 10_000

export type ProxyName = 'nginx' | 'haproxy' | 'caddy'

export const PROXIES: readonly ProxyName[] = ['nginx', 'haproxy', 'caddy']

/** A real proxy in front of servers, with a file of `deploy/` in which nothing but addresses is changed. */
export type ReverseProxy = {
  /** With the prefix, if there is one. */
  url: string
  stop(): Promise<void>
}

export type ProxyOptions = {
  /** Without one it speaks plain HTTP. */
  tls?: Certificate
  /** By the file that has Landfall below `/up`. */
  hasPrefix?: boolean
}

/** Where a proxy of a test listens, and what is behind it. */
type Place = { directory: string; port: number; servers: readonly string[]; tls: Certificate | undefined }

type Changes = readonly (readonly [from: string, to: string])[]

/** How a proxy is run: its two files, what is changed in them, and its program. */
type Kind = {
  file: string
  prefixFile: string
  changes(place: Place): Changes
  run(text: string, place: Place): Promise<ChildProcess>
}

/** Starts it on a free loopback port; `servers` are `host:port`. */
export async function startReverseProxy(
  name: ProxyName,
  servers: readonly string[],
  { tls, hasPrefix = false }: ProxyOptions = {},
): Promise<ReverseProxy> {
  const kind = KINDS[name]
  const place = {
    directory: await mkdtemp(join(tmpdir(), `landfall-${name}-`)),
    port: await freePort(),
    servers,
    tls,
  }
  const text = await deployed(hasPrefix ? kind.prefixFile : kind.file, kind.changes(place))
  const child = await kind.run(text, place)
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGTERM')
      await once(child, 'exit')
    }
    await rm(place.directory, { recursive: true, force: true })
  }
  try {
    await untilListening(child, place.port)
  } catch (error) {
    await stop()
    throw error
  }
  const origin = tls ? `https://localhost:${place.port}` : `http://127.0.0.1:${place.port}`
  return { url: hasPrefix ? `${origin}/up` : origin, stop }
}

const KINDS: Record<ProxyName, Kind> = {
  nginx: {
    file: 'nginx/landfall.conf',
    prefixFile: 'nginx/prefix.conf',
    changes: ({ port, servers, tls }) => [
      ['listen 8443 ssl;', `listen 127.0.0.1:${port}${tls ? ' ssl' : ''};`],
      ['ssl_certificate /etc/landfall/tls.crt;', tls ? `ssl_certificate ${tls.certificate};` : ''],
      ['ssl_certificate_key /etc/landfall/tls.key;', tls ? `ssl_certificate_key ${tls.key};` : ''],
      [
        'server 127.0.0.1:1080 max_fails=0;',
        servers.map((address) => `server ${address} max_fails=0;`).join(' '),
      ],
    ],
    run: runNginx,
  },
  haproxy: {
    file: 'haproxy/haproxy.cfg',
    prefixFile: 'haproxy/prefix.cfg',
    changes: ({ port, servers, tls }) => [
      [
        'bind :8443 ssl crt /etc/landfall/tls.pem alpn h2,http/1.1',
        `bind 127.0.0.1:${port}${tls ? ` ssl crt ${tls.both} alpn h2,http/1.1` : ''}`,
      ],
      [
        'server one 127.0.0.1:1080',
        servers.map((address, index) => `server s${index} ${address}`).join('\n  '),
      ],
    ],
    async run(text, { directory }) {
      await writeFile(join(directory, 'haproxy.cfg'), text)
      return spawn(programPath('haproxy'), ['-db', '-f', join(directory, 'haproxy.cfg')], { stdio: 'ignore' })
    },
  },
  caddy: {
    file: 'caddy/Caddyfile',
    prefixFile: 'caddy/prefix.Caddyfile',
    changes: ({ port, servers, tls }) => [
      [
        'https://uploads.example.org:8443 {',
        `${tls ? `https://localhost:${port}` : `http://:${port}`} {\n\tbind 127.0.0.1`,
      ],
      ['tls /etc/landfall/tls.crt /etc/landfall/tls.key', tls ? `tls ${tls.certificate} ${tls.key}` : ''],
      ['127.0.0.1:1080', servers.join(' ')],
    ],
    async run(text, { directory }) {
      const file = join(directory, 'Caddyfile')
      // Neither its port for administration nor port 80.
      await writeFile(file, `{\n\tadmin off\n\tauto_https disable_redirects\n}\n${text}`)
      return spawn(programPath('caddy'), ['run', '--adapter', 'caddyfile', '--config', file], {
        stdio: 'ignore',
        env: { HOME: directory, PATH: process.env.PATH },
      })
    },
  },
}

async function runNginx(site: string, { directory }: Place): Promise<ChildProcess> {
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

/** A file of `deploy/` with these changes, each of which it must have the place for. */
async function deployed(file: string, changes: Changes): Promise<string> {
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
