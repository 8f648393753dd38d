import { once } from 'node:events'
import { copyFile, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterEach, describe, expect, it } from 'vitest'
import { openSandbox } from '../system/tool-sandbox.ts'
import { jpeg, shortVideo } from './fixtures/media.ts'
import { requires } from './services/requirements.ts'
import { onceEvent } from './support/event-reader.ts'
import { listProcesses, untilGone } from './support/processes.ts'
import {
  enterableDirectory,
  findPostgres,
  postgresPid,
  type Run,
  runServer,
  type ServerProcess,
  startServerProcess,
  stopRun,
  untilWorkerOf,
} from './support/server-process.ts'
import { createId, head, patch } from './support/tus.ts'
import { outcome, sendFile } from './support/uploads.ts'

/** A start may take this long on a slow machine; takeovers must not wait for anything to run out. */
const SECONDS_TO_TAKE_OVER = 10

const undo: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
})

async function server(env: Record<string, string> = {}): Promise<ServerProcess> {
  const started = await startServerProcess(env)
  undo.push(() => started.stop())
  return started
}

async function freshDirectory(): Promise<string> {
  const directory = await enterableDirectory()
  undo.push(() => rm(directory, { recursive: true, force: true }))
  return directory
}

function start(dataDirectory: string, options: Parameters<typeof runServer>[1] = {}): Run {
  const run = runServer(dataDirectory, options)
  undo.push(() => stopRun(run, dataDirectory))
  return run
}

/** What people see on stderr, beside the log. */
function plainLines(text: string): string[] {
  return text.split('\n').filter((line) => line !== '' && !line.startsWith('{'))
}

async function uploadBecomesReady(target: ServerProcess): Promise<void> {
  const file = await jpeg({ width: 1600, height: 900 })
  const { uploadId } = await sendFile(target, 'alice', file)
  expect(await outcome(target, 'alice', uploadId)).toMatchObject({ status: 'ready', sha256: file.sha256 })
}

const ffmpeg = requires('ffmpeg')
const clamd = requires('clamd')

describe.skipIf(!ffmpeg.met || !clamd.met)('serve --dev', () => {
  it('prints its address, a token and an upload with curl that works as printed', async () => {
    const parent = await freshDirectory()
    const run = start(join(parent, 'data'), { args: ['--dev'], env: { AUTH_JWT_SECRET: '' } })
    const url = await run.address
    expect(run.stdout().split('\n', 1)[0]).toBe(`Landfall is at ${url}`)
    await expectCodeOf(run.stdout(), url)
    const example = run.stdout().match(/^ {2}\S.*$/gm) ?? []
    expect(example).toHaveLength(3)

    const file = await jpeg({ width: 1600, height: 900 })
    await copyFile(file.path, join(parent, 'movie.jpg'))
    const script = example.join('\n').replace('FILE=movie.mp4', 'FILE=movie.jpg')
    const { stdout } = await execa('bash', ['-eu', '-c', `${script}\necho; echo "$TOKEN"; echo "$URL"`], {
      cwd: parent,
    })
    const [token = '', uploadUrl = ''] = stdout.split('\n').slice(-2)
    expect(stdout).toMatch(/^HTTP\/1\.1 204 /)
    expect(stdout).toMatch(new RegExp(`^Upload-Offset: ${file.size}\r?$`, 'im'))

    const as = () => async (path: string) =>
      await fetch(new URL(path, url), { headers: { Authorization: `Bearer ${token}` } })
    const uploadId = uploadUrl.split('/').at(-1) ?? ''
    const media = await outcome({ url, token: () => token, as }, 'developer', uploadId)
    expect(media).toMatchObject({ status: 'ready', filename: 'movie.jpg', sha256: file.sha256 })
  })

  it('gives out no development tokens where something says that others use it, and says why', async () => {
    const env = { AUTH_JWT_SECRET: '', TRUST_PROXY: 'loopback' }
    const run = start(join(await freshDirectory(), 'data'), { args: ['--dev'], env })
    const url = await run.address
    expect(run.stdout()).not.toContain('?code=')
    const answer = await fetch(`${url}/dev/token`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: '{"sub":"alice"}',
    })
    expect(answer.status).toBe(404)
    await expect.poll(run.stdout).toContain('because TRUST_PROXY is set')
  })

  it('is stopped by Ctrl-C with everything it started: worker, PostgreSQL and clamd', async () => {
    const dataDirectory = join(await freshDirectory(), 'data')
    const run = start(dataDirectory, { args: ['--dev'], env: { AUTH_JWT_SECRET: '', CLAMD_URL: '' } })
    await run.address
    await untilWorkerOf(run.pid)
    const children = (await listProcesses()).filter(({ parent }) => parent === run.pid)
    expect(children.map(({ command }) => /clamd|worker/.exec(command)?.[0]).toSorted()).toEqual([
      'clamd',
      'worker',
    ])
    const postgres = await postgresPid(dataDirectory)

    process.kill(-run.pid, 'SIGINT')
    expect(await run.exited).toEqual({ code: 0, signal: null })
    await untilGone([...children.map(({ pid }) => pid), postgres], 1_000)
    expect((await listProcesses()).filter(({ command }) => command.includes(dataDirectory))).toEqual([])
  })
})

describe.skipIf(!ffmpeg.met || !clamd.met)('a server that is stopped or killed', () => {
  it('keeps the bytes of a PATCH that runs at SIGTERM, and goes on from there after a restart', async () => {
    const target = await server()
    const file = await video()
    const half = Math.floor(file.bytes.length / 2)
    const id = await createId(target, 'alice', { size: file.bytes.length, metadata: { filename: file.name } })
    const halfArrived = onceEvent(target, 'alice', id, (event) => event.data.offset === half)
    const body = new TransformStream<Uint8Array, Uint8Array>()
    const appending = patch(target, 'alice', id, { offset: 0, body: body.readable }).catch(() => undefined)
    await body.writable.getWriter().write(file.bytes.subarray(0, half))
    await halfArrived

    expect(await target.kill('SIGTERM')).toEqual({ code: 0, signal: null })
    await appending
    await target.restart()

    const found = await head(target, 'alice', id)
    expect(found.headers.get('Upload-Offset')).toBe(String(half))
    const rest = await patch(target, 'alice', id, { offset: half, body: file.bytes.subarray(half) })
    expect(rest.status).toBe(204)
    expect(await outcome(target, 'alice', id)).toMatchObject({ status: 'ready', sha256: file.sha256 })
  })

  it('takes over the PostgreSQL of a killed server at once', async () => {
    const target = await server()
    const postgres = await postgresPid(target.dataDirectory)
    await target.kill('SIGKILL')
    const startedAt = performance.now()
    await target.restart()
    expect((performance.now() - startedAt) / 1000).toBeLessThan(SECONDS_TO_TAKE_OVER)
    await uploadBecomesReady(target)
    expect(await postgresPid(target.dataDirectory)).toBe(postgres)
  })

  it('starts again, with what it had, when its PostgreSQL was killed with it', async () => {
    const target = await server()
    const file = await video()
    const half = Math.floor(file.bytes.length / 2)
    const id = await createId(target, 'alice', { size: file.bytes.length, metadata: { filename: file.name } })
    await patch(target, 'alice', id, { offset: 0, body: file.bytes.subarray(0, half) })
    const postgres = await postgresPid(target.dataDirectory)
    process.kill(postgres, 'SIGKILL')
    await target.kill('SIGKILL')
    await target.restart()

    expect(await postgresPid(target.dataDirectory)).not.toBe(postgres)
    const rest = await patch(target, 'alice', id, { offset: half, body: file.bytes.subarray(half) })
    expect(rest.status).toBe(204)
    expect(await outcome(target, 'alice', id)).toMatchObject({ status: 'ready', sha256: file.sha256 })
  })

  it('starts its worker again when that is killed, and spares it the trial of sandboxes', async () => {
    const target = await server()
    const worker = await target.untilWorker()
    await uploadBecomesReady(target)
    process.kill(worker, 'SIGKILL')
    const next = await untilWorkerOf(target.run().pid, worker)
    expect(next).not.toBe(worker)
    const { kind } = await openSandbox({
      ...{ path: process.env.PATH ?? '', dataDirectory: target.dataDirectory },
      ...{ wish: 'auto', tools: ['ffmpeg', 'ffprobe'] },
    })
    const { command = '' } = (await listProcesses()).find(({ pid }) => pid === next) ?? {}
    expect(/--sandbox=(\w+)$/.exec(command)?.[1]).toBe(kind === 'none' ? undefined : kind)
    await uploadBecomesReady(target)
  })

  it('leaves no worker behind when it is killed', async () => {
    const target = await server()
    await uploadBecomesReady(target)
    const worker = await target.untilWorker()
    await target.kill('SIGKILL')
    await untilGone([worker], 5_000)
  })

  it('leaves no worker behind when it is killed while the worker is starting', async () => {
    const target = await server()
    const worker = await target.untilWorker()
    await target.kill('SIGKILL')
    // It notices when it has read its modules, which takes a busy machine seconds.
    await untilGone([worker], 20_000)
  })
})

describe('a server that cannot start', () => {
  it('says which directory is in use, and does no harm to the server that uses it', async () => {
    const target = await server()
    const worker = await target.untilWorker()
    const second = start(target.dataDirectory)
    expect(await second.exited).toEqual({ code: 1, signal: null })
    const lines = plainLines(second.stderr())
    expect(lines).toHaveLength(1)
    expect(lines[0]).toMatch(/^landfall: .* is in use by another Landfall server/)
    expect(lines[0]).toContain(target.dataDirectory)

    expect(await target.untilWorker()).toBe(worker)
    if (ffmpeg.met && clamd.met) await uploadBecomesReady(target)
  })

  it('says that its port is in use, and leaves nothing running', async () => {
    const dataDirectory = join(await freshDirectory(), 'data')
    const occupant = createServer().listen(0, '127.0.0.1')
    undo.push(async () => occupant.close())
    await once(occupant, 'listening')
    const { port } = occupant.address() as AddressInfo

    const run = start(dataDirectory, { env: { PORT: String(port) } })
    expect(await run.exited).toEqual({ code: 1, signal: null })
    expect(plainLines(run.stderr())).toEqual([
      `landfall: listen EADDRINUSE: address already in use 127.0.0.1:${port}; choose another HOST or PORT`,
    ])
    await run.closed
    expect(await findPostgres(dataDirectory)).toBeUndefined()
    expect((await listProcesses()).filter(({ command }) => command.includes(dataDirectory))).toEqual([])
  })

  it.skipIf(process.getuid?.() !== 0)(
    'says that the user postgres cannot enter its directory, when it is root',
    async () => {
      const closed = await mkdtemp(join(tmpdir(), 'landfall-closed-'))
      undo.push(() => rm(closed, { recursive: true, force: true }))
      const dataDirectory = join(closed, 'data')
      await mkdir(dataDirectory)
      const run = start(dataDirectory)
      expect(await run.exited).toEqual({ code: 1, signal: null })
      const [line, ...more] = plainLines(run.stderr())
      expect(line).toMatch(/^landfall: .* cannot be entered by the user postgres/)
      expect(line).toContain(dataDirectory)
      expect(more).toEqual([])
    },
  )
})

/** The page's address, as printed, has the code that `POST /dev/token` wants, and there are no tokens without. */
async function expectCodeOf(output: string, url: string): Promise<void> {
  const code = new RegExp(`${url}/\\?code=([\\w-]{32})\\b`).exec(output)?.[1] ?? ''
  const ask = async (headers: Record<string, string>) => {
    const answer = await fetch(`${url}/dev/token`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', ...headers },
      body: '{"sub":"alice"}',
    })
    await answer.body?.cancel()
    return answer.status
  }
  expect([await ask({ 'X-Dev-Code': code }), await ask({})]).toEqual([200, 404])
}

async function video() {
  const fixture = await shortVideo()
  return { ...fixture, bytes: await readFile(fixture.path) }
}
