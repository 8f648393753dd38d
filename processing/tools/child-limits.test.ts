import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { getPriority, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { requires } from '../../test/services/requirements.ts'
import { listProcesses, untilGone } from '../../test/support/processes.ts'
import { Ffmpeg } from './ffmpeg.ts'

describe.skipIf(process.platform !== 'linux' || !requires('ffmpeg').met)('a tool', () => {
  let directory: string
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'landfall-tool-'))
  })
  afterAll(() => rm(directory, { recursive: true, force: true }))

  /** An ffprobe that starts something of its own, says which, and hangs. */
  async function hangingTool() {
    const [path, pids] = [join(directory, 'ffprobe'), join(directory, 'pids')]
    await rm(pids, { force: true })
    await writeFile(path, `#!/bin/sh\nsleep 600 &\necho $$ $! > ${pids}\nwait\n`, { mode: 0o755 })
    const stopping = new AbortController()
    const ffmpeg = new Ffmpeg({ ffmpegPath: path, ffprobePath: path })
    const ended = ffmpeg
      .probe({ input: '/dev/null', size: 0, demuxers: ['mov'], signal: stopping.signal })
      .catch((error: unknown) => error)
    await expect.poll(() => readFile(pids, 'utf8').catch(() => ''), { timeout: 10_000 }).toMatch(/\d+ \d+\n/)
    const [own = 0, child = 0] = (await readFile(pids, 'utf8')).trim().split(' ').map(Number)
    return { own, child, ended, stop: () => stopping.abort() }
  }

  it('yields to its worker, and has limits on memory and processor time', async () => {
    const { own, ended, stop } = await hangingTool()
    try {
      const stat = await readFile(`/proc/${own}/stat`, 'utf8')
      // The nineteenth field of proc(5).
      expect(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16]).toBe(
        String(Math.min(19, getPriority() + 5)),
      )
      const limits = () => readFile(`/proc/${own}/limits`, 'utf8')
      await expect.poll(limits, { timeout: 5_000 }).toMatch(/Max address space +4294967296 /)
      expect(await limits()).toMatch(/Max cpu time +\d+ /)
    } finally {
      stop()
      await ended
    }
  })

  it('ends with all that it has started when the work is taken away', async () => {
    const { own, child, ended, stop } = await hangingTool()
    expect((await listProcesses()).filter(({ pid }) => pid === own || pid === child)).toHaveLength(2)
    stop()
    expect(await ended).toBeInstanceOf(Error)
    await untilGone([own, child], 5_000)
    expect(process.listeners('exit').map(String).join()).not.toMatch(/killGroup/)
  })
})
