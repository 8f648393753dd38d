import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Ffmpeg } from '../processing/tools/ffmpeg.ts'
import { ToolFailed } from '../processing/tools/tool-errors.ts'
import { shortVideo } from '../test/fixtures/media.ts'
import { programPath, requires } from '../test/services/requirements.ts'
import { listProcesses, untilGone } from '../test/support/processes.ts'
import { SYSTEM_PATH } from './system-path.ts'
import { openSandbox, ToolSandbox } from './tool-sandbox.ts'

const LIMITS = { addressBytes: 4 * 1024 ** 3, cpuSeconds: 20 }

describe.skipIf(process.platform !== 'linux' || !requires('ffmpeg').met)('a tool in a sandbox', () => {
  let directory: string
  let data: string
  let folder: string
  let input: string
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'landfall-sandbox-'))
    data = join(directory, 'data')
    folder = join(data, 'scratch', 'one')
    input = join(data, 'objects', 'one')
    await mkdir(folder, { recursive: true })
    await mkdir(join(data, 'objects'))
    await writeFile(input, await readFile((await shortVideo()).path))
    await writeFile(join(data, 'secret'), 'a secret')
  })
  afterAll(() => rm(directory, { recursive: true, force: true }))

  const kinds = ['bwrap', 'unshare'] as const
  const open = async (kind: (typeof kinds)[number]) => {
    const path = await pathWith(kind, join(directory, `bin-${kind}`))
    const sandbox = await openSandbox({
      path,
      dataDirectory: data,
      wish: 'auto',
      tools: [programPath('ffmpeg')],
    })
    // The other one is not there.
    return sandbox.kind === kind ? sandbox : undefined
  }
  const run = async (sandbox: ToolSandbox, script: string, more: { hasNetwork?: boolean } = {}) => {
    const { program, args } = await sandbox.confine({
      ...{ program: 'sh', args: ['-c', script], input, folder, limits: LIMITS },
      hasNetwork: more.hasNetwork ?? false,
    })
    const { stdout } = await execa(program, args, {
      env: sandbox.environment,
      extendEnv: false,
      reject: false,
    })
    return stdout
  }

  it.each(kinds)('%s: reads its input, writes to its folder and nowhere else', async (kind) => {
    const sandbox = await open(kind)
    if (!sandbox) return console.warn(`${kind} does not work on this system`)
    expect(await run(sandbox, `head -c 8 ${input} | tail -c 4`)).toBe('ftyp')
    expect(await run(sandbox, `echo written > ${folder}/out && cat ${folder}/out`)).toBe('written')
    expect(await readFile(join(folder, 'out'), 'utf8')).toBe('written\n')
    for (const path of [input, join(data, 'evil'), '/usr/evil', '/etc/evil'])
      expect([path, await run(sandbox, `(echo x >> ${path}) 2>/dev/null || echo refused`)]).toEqual([
        path,
        'refused',
      ])
    expect(await readFile(input)).toEqual(await readFile((await shortVideo()).path))
    // What was made read-only stays so.
    await run(
      sandbox,
      `mount -o remount,bind,rw / ; mount -o remount,bind,rw ${data} ; echo x > ${data}/evil`,
    )
    await expect(readFile(join(data, 'evil'))).rejects.toThrow('ENOENT')
  })

  it.each(kinds)('%s: has no network unless its input is at an address', async (kind) => {
    const sandbox = await open(kind)
    if (!sandbox) return
    const server = createServer((socket) => socket.end('hello')).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const ask = `exec 2>&1; ${programPath('ffprobe')} -v error tcp://127.0.0.1:${port}`
    expect(await run(sandbox, ask)).toMatch(/Network is unreachable|Connection refused|Cannot assign/)
    expect(await run(sandbox, ask, { hasNetwork: true })).toMatch(/Invalid data/)
    server.close()
  })

  it.each(kinds)('%s: sees no other process, and no variable but those that it needs', async (kind) => {
    const sandbox = await open(kind)
    if (!sandbox) return
    expect(await run(sandbox, 'echo /proc/[0-9]*/environ | wc -w')).toMatch(/^[1-4]$/)
    const variables = (await run(sandbox, 'env')).split('\n').map((line) => line.split('=')[0])
    expect(
      variables.filter((name) => !['PATH', 'LC_ALL', 'PWD', 'OLDPWD', 'SHLVL', '_'].includes(name ?? '')),
    ).toEqual([])
    expect(await run(sandbox, 'ulimit -v; ulimit -t')).toBe(`${LIMITS.addressBytes / 1024}\n20`)
  })

  it('bwrap: sees nothing of the data directory but its input', async () => {
    const sandbox = await open('bwrap')
    if (!sandbox) return
    expect(
      await run(sandbox, `cat ${data}/secret 2>/dev/null || echo nothing; ls ${data}/objects /home`),
    ).toMatch(/^nothing\n\/home:\n\n.*objects:\none$/)
  })

  it('bwrap: sees nothing of a data directory that a link leads to', async () => {
    const link = join(directory, 'link')
    await symlink(data, link)
    const path = await pathWith('bwrap', join(directory, 'bin-link'))
    const sandbox = await openSandbox({ path, dataDirectory: link, wish: 'auto', tools: [] })
    if (sandbox.kind !== 'bwrap') return
    const through = (file: string) => file.replace(data, link)
    const script = `cat ${data}/secret || cat ${link}/secret || head -c 8 ${through(input)} | tail -c 4; echo x > ${through(folder)}/by-link`
    const { program, args } = await sandbox.confine({
      ...{ program: 'sh', args: ['-c', script], input: through(input), folder: through(folder) },
      ...{ limits: LIMITS, hasNetwork: false },
    })
    const { stdout } = await execa(program, args, {
      env: sandbox.environment,
      extendEnv: false,
      reject: false,
    })
    expect(stdout).toBe('ftyp')
    expect(await readFile(join(folder, 'by-link'), 'utf8')).toBe('x\n')
  })

  it.each(kinds)('%s: can write to no other file system, and change nothing of the kernel', async (kind) => {
    const sandbox = await open(kind)
    if (!sandbox) return
    const places = '/dev/shm/evil /run/evil /tmp/evil /var/tmp/evil /proc/sys/kernel/core_pattern'
    const script = `for place in ${places}; do [ -w $place ] && echo $place; (: >> $place) 2>/dev/null && echo $place; done`
    expect(await run(sandbox, script)).toBe('')
  })

  it.each(kinds)('%s: encodes, says when it crashed, and ends when the work is taken away', async (kind) => {
    const sandbox = await open(kind)
    if (!sandbox) return
    const tools = { ffmpegPath: programPath('ffmpeg'), ffprobePath: programPath('ffprobe'), sandbox }
    const ffmpeg = new Ffmpeg(tools)
    const common = { input, size: 1, demuxers: ['mov'], signal: AbortSignal.timeout(60_000) }
    expect(await ffmpeg.probe(common)).toMatchObject({ json: { format: {} }, complaints: '' })
    const renditions = [
      { number: 1, width: 320, height: 180, maxBitrate: 500_000, burstBits: 1_000_000 },
    ] as const
    await ffmpeg.hls({
      ...common,
      renditions,
      picture: '0:v:0',
      sound: '0:a:0',
      isHdr: false,
      seconds: 2,
      fps: 25,
      folder,
    })
    expect(await readFile(join(folder, 'hls-1.m3u8'), 'utf8')).toContain('#EXT-X-ENDLIST')

    const script = async (name: string, body: string) => {
      const path = join(directory, name)
      await writeFile(path, `#!/bin/sh\n${body}\n`, { mode: 0o755 })
      return new Ffmpeg({ ...tools, ffprobePath: path })
    }
    // A crash of the tool is no verdict on the file.
    const crashing = await script('crashing', 'kill -SEGV $$')
    await expect(crashing.probe(common)).rejects.toThrow(ToolFailed)

    const mark = `6${process.pid}${kind.length}`
    const hanging = await script(`hanging-${kind}`, `sleep ${mark} & sleep ${mark}`)
    const stopping = new AbortController()
    const ended = hanging.probe({ ...common, signal: stopping.signal }).catch((error: unknown) => error)
    const sleeping = async () =>
      (await listProcesses()).filter(({ command }) => command === `sleep ${mark}`).map(({ pid }) => pid)
    await expect.poll(async () => (await sleeping()).length, { timeout: 10_000 }).toBe(2)
    const pids = await sleeping()
    stopping.abort()
    expect(await ended).toBeInstanceOf(Error)
    await untilGone(pids, 5_000)
  })

  it('is none where neither works, and then a worker that requires one does not start', async () => {
    const path = join(directory, 'bin-none')
    await mkdir(path)
    const options = { path, dataDirectory: data, tools: [] }
    expect((await openSandbox({ ...options, wish: 'auto' })).kind).toBe('none')
    expect((await openSandbox({ ...options, path: SYSTEM_PATH, wish: 'off' })).kind).toBe('none')
    await expect(openSandbox({ ...options, wish: 'required' })).rejects.toThrow('TOOL_SANDBOX=required')
    // As in a container that forbids what it takes.
    await writeFile(join(path, 'bwrap'), '#!/bin/sh\necho "bwrap: No permissions" >&2\nexit 1\n', {
      mode: 0o755,
    })
    expect((await openSandbox({ ...options, wish: 'auto' })).kind).toBe('none')
  })

  it('is none that lets everything through: network and writing are tried, in one run', async () => {
    const path = join(directory, 'bin-sieve')
    await mkdir(path)
    const runs = join(directory, 'runs')
    const sieve = `#!/bin/sh\necho run >> ${runs}\nwhile [ "$1" != -- ]; do shift; done; shift\nexec "$@"\n`
    await writeFile(join(path, 'bwrap'), sieve, { mode: 0o755 })
    for (const name of ['sh', 'rm', 'true']) {
      const { stdout } = await execa('bash', ['-c', `type -P ${name}`])
      await execa('ln', ['-sf', stdout, join(path, name)])
    }
    const options = { path, dataDirectory: data, wish: 'auto', tools: [programPath('ffmpeg')] } as const
    const before = await readdir(data)
    expect((await openSandbox(options)).kind).toBe('none')
    expect(await readdir(data)).toEqual(before)
    expect(await readFile(runs, 'utf8')).toBe('run\n')
    // What a worker of the same server has found is not tried again, as long as it is there.
    expect((await openSandbox({ ...options, found: 'bwrap' })).kind).toBe('bwrap')
    expect((await openSandbox({ ...options, found: 'unshare' })).kind).toBe('none')
    expect((await openSandbox({ ...options, found: 'bwrap', wish: 'off' })).kind).toBe('none')
    expect(await readFile(runs, 'utf8')).toBe('run\nrun\n')
  })

  it('has tools that lie where others have their homes', async () => {
    const home = await mkdtemp(join(tmpdir(), 'landfall-tools-'))
    try {
      const tool = join(home, 'tool')
      await writeFile(tool, '#!/bin/sh\nexit 0\n', { mode: 0o755 })
      const works = await openSandbox({ path: SYSTEM_PATH, dataDirectory: data, wish: 'auto', tools: [] })
      const options = { path: SYSTEM_PATH, dataDirectory: data, wish: 'auto' } as const
      expect((await openSandbox({ ...options, tools: [tool] })).kind).toBe(works.kind)
    } finally {
      await rm(home, { recursive: true, force: true })
    }
  })

  it('is waited for when what holds it in fails later', async () => {
    const path = join(directory, 'bin-later')
    await mkdir(path)
    await writeFile(join(path, 'bwrap'), '#!/bin/sh\necho "bwrap: No permissions" >&2\nexit 1\n', {
      mode: 0o755,
    })
    const sandbox = new ToolSandbox('bwrap', { path, dataDirectory: data })
    const ffmpeg = new Ffmpeg({
      ffmpegPath: programPath('ffmpeg'),
      ffprobePath: programPath('ffprobe'),
      sandbox,
    })
    const run = { input, size: 1, demuxers: ['mov'], signal: AbortSignal.timeout(60_000) }
    await expect(ffmpeg.probe(run)).rejects.toThrow('cannot be run')
  })
})

/** The usual programs but for the other sandbox. */
async function pathWith(kind: 'bwrap' | 'unshare', directory: string): Promise<string> {
  if (kind === 'bwrap') return SYSTEM_PATH
  await mkdir(directory, { recursive: true })
  const names = [
    'unshare',
    'setpriv',
    'mount',
    'sh',
    'true',
    'prlimit',
    'head',
    'tail',
    'cat',
    'env',
    'wc',
    'ls',
    'sleep',
  ]
  for (const name of names) {
    const { stdout } = await execa('bash', ['-c', `type -P ${name}`])
    await execa('ln', ['-sf', stdout, join(directory, name)])
  }
  return directory
}
