import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { runClient } from '../client/client.ts'
import { cpuSeconds } from '../proc.ts'
import { installTusd, TUSD_VERSION } from './install-tusd.ts'
import { raw, tusd } from './peers.ts'

const { signal } = new AbortController()
const KEEPER = join(import.meta.dirname, 'keeper.ts')
/** Answers 201 and 204 as a tus server does, after it has told its arguments and its environment. */
const SERVER = `#!${process.execPath}
if (process.argv[2] === '-version') process.exit()
const server = require('node:http').createServer((request, response) => response.end())
server.listen(0, '127.0.0.1', () => {
  const { argv, env } = process
  require('node:fs').writeFileSync(env.BENCH_DIRECTORY + '/started', JSON.stringify({ args: argv.slice(2), env }))
  console.log('2026/11/30 You can now upload files to: http://127.0.0.1:' + server.address().port + '/files/')
})
`

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'landfall-peers-'))
})
afterEach(() => rm(directory, { recursive: true, force: true }))

async function script(name: string, text: string): Promise<string> {
  const path = join(directory, name)
  await writeFile(path, text)
  await chmod(path, 0o755)
  return path
}

const isRunning = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    // There is no such process.
    return false
  }
}

describe('raw', () => {
  it('takes uploads in several requests, several at a time, and has their bytes in files', async () => {
    const place = { directory: join(directory, 'raw'), bucket: null }
    const subject = await raw.start(place)
    try {
      const size = 3 * 1024 ** 2 + 1
      const plan = { uploads: 4, size, requestSize: 1024 ** 2, parallel: 2, bytesPerSecond: null }
      const report = await runClient({ url: subject.url, headers: {}, plan }, signal)
      expect(report.times.PATCH).toHaveLength(16)
      expect((await readdir(place.directory)).toSorted()).toEqual(report.uploadIds.toSorted())
      const [first, ...others] = await Promise.all(
        report.uploadIds.map((id) => readFile(join(place.directory, id))),
      )
      expect(first).toHaveLength(size)
      // The client sends the same bytes to each.
      for (const other of others) expect(other.equals(first ?? Buffer.alloc(0))).toBe(true)
      await subject.removeFiles()
      expect(await readdir(place.directory)).toEqual([])
    } finally {
      await subject.stop()
    }
    expect(isRunning(subject.pid)).toBe(false)
  })

  it('has no place in a bucket', async () => {
    const access = { endpoint: '', region: '', accessKeyId: '', secretAccessKey: '' }
    await expect(raw.start({ directory, bucket: { ...access, name: 'x' } })).rejects.toThrow('disk only')
  })
})

describe('tusd', () => {
  const startedWith = async () => JSON.parse(await readFile(join(directory, 'started'), 'utf8'))

  it('listens on loopback alone, and it is measured, not what runs it', async () => {
    const subject = await tusd(await script('tusd', SERVER)).start({ directory, bucket: null })
    try {
      const { args } = await startedWith()
      expect(args).toEqual(['-host', '127.0.0.1', '-port', '0', '-upload-dir', directory])
      expect(await readFile(`/proc/${subject.pid}/cmdline`, 'utf8').catch(() => 'tusd')).toContain('tusd')
      if (process.platform === 'linux') expect(cpuSeconds(subject.pid)).not.toBeNull()
    } finally {
      await subject.stop()
    }
    await vi.waitFor(() => expect(isRunning(subject.pid)).toBe(false))
  })

  it('stores in the bucket that it is given', async () => {
    const access = {
      endpoint: 'http://127.0.0.1:9',
      region: 'here',
      accessKeyId: 'id',
      secretAccessKey: 'key',
    }
    const place = { directory, bucket: { ...access, name: 'bench-1' } }
    const subject = await tusd(await script('tusd', SERVER)).start(place)
    await subject.stop()
    const { args, env } = await startedWith()
    expect(args.slice(4)).toEqual(['-s3-bucket', 'bench-1', '-s3-endpoint', 'http://127.0.0.1:9'])
    const credentials = { AWS_REGION: 'here', AWS_ACCESS_KEY_ID: 'id', AWS_SECRET_ACCESS_KEY: 'key' }
    expect(env).toMatchObject({ ...credentials, TMPDIR: directory })
  })

  it('ends with the bench, even with a killed one', async () => {
    const program = await script('tusd', SERVER)
    const keeper: ChildProcess = fork(KEEPER, [program], {
      env: { BENCH_DIRECTORY: directory },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    })
    const [pid] = (await once(keeper, 'message')) as [number]
    expect(isRunning(pid)).toBe(true)
    // What the end of a process does to its channels.
    keeper.disconnect()
    await once(keeper, 'exit')
    await vi.waitFor(() => expect(isRunning(pid)).toBe(false))
  })

  it('fails to start where its program does not', async () => {
    const program = await script('tusd', '#!/bin/sh\necho no such bucket >&2\nexit 3\n')
    const start = tusd(program).start({ directory, bucket: null })
    await expect(start).rejects.toThrow('ended while it started: no such bucket')
  })
})

describe('the installation of tusd', () => {
  const cache = () => join(directory, 'cache')
  const install = (env: NodeJS.ProcessEnv, onInstall = () => {}) =>
    installTusd({ cache: cache(), env, signal, onInstall })
  const withGo = async (body: string) => {
    await script('go', `#!/bin/sh\nif [ "$1" = version ]; then exit; fi\n${body}\n`)
    return { PATH: `${directory}:${process.env.PATH}`, GOPROXY: 'http://127.0.0.1:9', GOPATH: '/a/caller' }
  }

  it('is of a named version, once, and keeps nothing but the program', async () => {
    await script('built', SERVER)
    const asked = join(directory, 'asked')
    const env = await withGo(
      `echo "$@ $GOPROXY $GOPATH" >> '${asked}'; mkdir -p "$GOBIN" "$GOMODCACHE" "$GOCACHE"; cp '${directory}/built' "$GOBIN/tusd"`,
    )
    const onInstall = vi.fn()
    const first = await install(env, onInstall)
    const second = await install(env, onInstall)
    expect(first).toHaveProperty('program')
    expect(second).toEqual(first)
    expect(onInstall).toHaveBeenCalledOnce()
    expect(await readdir(cache())).toEqual([`tusd-${TUSD_VERSION}-${process.platform}-${process.arch}`])
    const [line = '', ...more] = (await readFile(asked, 'utf8')).trim().split('\n')
    expect(more).toEqual([])
    expect(line).toMatch(/^install github\.com\/tus\/tusd\/v2\/cmd\/tusd@v2\.9\.\d+ http:\/\/127\.0\.0\.1:9 /)
    expect(line).not.toContain('/a/caller')
  })

  it('is left out with a line where there is no go', async () => {
    const onInstall = vi.fn()
    const lack = `tusd ${TUSD_VERSION} needs go, which is not on this machine`
    expect(await install({ PATH: join(directory, 'nowhere') }, onInstall)).toEqual({ lack })
    expect(onInstall).not.toHaveBeenCalled()
  })

  it('is left out with the last line of a go that fails, and tried again the next time', async () => {
    const env = await withGo('echo "go: one" >&2; echo "go: no such host" >&2; exit 1')
    const lack = `tusd ${TUSD_VERSION} could not be installed by go: go: no such host`
    expect(await install(env)).toEqual({ lack })
    expect(await readdir(cache())).toEqual([])
    await script('built', SERVER)
    await withGo(`mkdir -p "$GOBIN"; cp '${directory}/built' "$GOBIN/tusd"`)
    expect(await install(env)).toHaveProperty('program')
  })

  it('is left out when what was installed does not run', async () => {
    const env = await withGo('mkdir -p "$GOBIN"; echo nonsense > "$GOBIN/tusd"')
    expect(await install(env)).toEqual({ lack: `tusd ${TUSD_VERSION} was installed, but does not run` })
  })

  it('stops when the bench is stopped', async () => {
    const stop = new AbortController()
    const env = await withGo('exec sleep 600')
    const installed = installTusd({ cache: cache(), env, signal: stop.signal, onInstall: () => stop.abort() })
    await expect(installed).rejects.toThrow(/abort/)
    expect(await readdir(cache())).toEqual([])
  })
})
