import { existsSync, readFileSync } from 'node:fs'
import { appendFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { runWatched, WATCHED } from './dev.ts'

/** Notes what happens to it, stops in order, and cannot start while `source/broken` is there. */
const PROGRAM = `
import { appendFileSync, existsSync } from 'node:fs'
const note = (line) => appendFileSync(process.env.NOTES, line + '\\n')
if (existsSync(process.env.BROKEN)) throw new Error('broken')
process.on('SIGTERM', () => setTimeout(() => { note('stopped'); process.exit() }, 50))
note('started ' + process.argv[2])
setInterval(() => {}, 1_000)
`

async function watchProgram() {
  const folder = await mkdtemp(join(tmpdir(), 'landfall-dev-'))
  const [program, notes, source] = [
    join(folder, 'program.mjs'),
    join(folder, 'notes'),
    join(folder, 'source'),
  ]
  await mkdir(join(source, 'deep'), { recursive: true })
  await writeFile(program, PROGRAM)
  await writeFile(notes, '')
  const broken = join(source, 'broken')
  const stop = new AbortController()
  const run = runWatched(
    {
      args: [program, 'serve'],
      watched: [source],
      env: { PATH: process.env.PATH, NOTES: notes, BROKEN: broken },
    },
    stop.signal,
  )
  onTestFinished(async () => {
    stop.abort()
    await run
    await rm(folder, { recursive: true })
  })
  const change = () => appendFile(join(source, 'deep', 'file.ts'), '//\n')
  return { stop, run, broken, change, notes: () => readFileSync(notes, 'utf8').trim().split('\n') }
}

const WAIT = { timeout: 20_000 }

describe('a program that is watched', () => {
  it('is stopped in order and started again when a source changes, and stopped in order at the end', async () => {
    const { notes, change, stop, run } = await watchProgram()
    await expect.poll(notes, WAIT).toEqual(['started serve'])
    await change()
    await expect.poll(notes, WAIT).toEqual(['started serve', 'stopped', 'started serve'])
    stop.abort()
    await run
    expect(notes()).toEqual(['started serve', 'stopped', 'started serve', 'stopped'])
  })

  it('is started again when it could not start and a source has changed since', async () => {
    const { notes, change, broken } = await watchProgram()
    await expect.poll(notes, WAIT).toEqual(['started serve'])
    await writeFile(broken, '')
    await expect.poll(notes, WAIT).toEqual(['started serve', 'stopped'])
    await rm(broken)
    await change()
    await expect.poll(notes, WAIT).toEqual(['started serve', 'stopped', 'started serve'])
  })
})

it('every room of server and worker is watched: those that the image has', () => {
  const root = join(import.meta.dirname, '..')
  const copied = [...readFileSync(join(root, 'Dockerfile'), 'utf8').matchAll(/^COPY (\w+) \1\/$/gm)]
  expect(copied.length).toBeGreaterThan(5)
  expect(WATCHED.toSorted()).toEqual(['landfall.ts', ...copied.map(([, room]) => room)].toSorted())
  expect(WATCHED.filter((path) => !existsSync(join(root, path)))).toEqual([])
})
