/**
 * npm run bench:fairness: one owner does what they should not, by each flood in turn, and another goes about their
 * business on the same server and worker. Prints what the ordinary owner waits for while nobody else is there and during
 * each flood, and whether that is fair: p99 within three times of idle, no 503, `/readyz` 200, a file ready within three
 * times of idle. Floods come from a process of their own, and are bounded in number and time. It has a low priority: a
 * real one has a machine of its own, and takes none of the processors of the server.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { setPriority, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import jwt from 'jsonwebtoken'
import { jpeg } from '../../test/fixtures/media.ts'
import { startDatabase } from '../services/database.ts'
import { median, percentile } from '../statistics.ts'
import { startLandfall, thisCheckout } from '../subjects/landfall.ts'
import { type Day, Ordinary, type Times } from './ordinary.ts'

const SECRET = 'a secret of the fairness benchmark, good for nothing'
const FLOODS = [
  'concat-references',
  'concat-locks',
  'process',
  'streams',
  'lists',
  'heads',
  'slow-appends',
  'files',
  'large-files',
] as const
const MAX_RATIO = 3
const FLOOD_NICE = 10
const WARM_UP_SECONDS = 8
const PICTURES = 7
const BETWEEN_PICTURES_MS = 1000
/** Below this a time says more about the machine than about who waits for whom. */
const NOISE_MS = 10
const KINDS = ['upload', 'offset', 'list'] as const

type Measured = Day & { readyMs: number; readyz: Record<string, number>; hostile: string }

const say = (line = '') => void process.stdout.write(`${line}\n`)
const wanted = process.argv.slice(2).filter((arg) => !arg.startsWith('--'))
const seconds = Number(/--seconds=(\d+)/.exec(process.argv.join(' '))?.[1] ?? 30)
const chosen = FLOODS.filter((name) => wanted.length === 0 || wanted.includes(name))

const directory = await mkdtemp(join(tmpdir(), 'landfall-fairness-'))
// PostgreSQL runs as a user of its own where we are root.
await chmod(directory, 0o755)
const database = await startDatabase(join(directory, 'postgres'))
const tokenOf = (sub: string) => jwt.sign({}, SECRET, { subject: sub, expiresIn: '1d' })

let isFair = true
try {
  const idle = await onFreshServer((url) => measure(url, 'idle', undefined, seconds))
  report('idle', idle)
  for (const name of chosen) {
    const during = await onFreshServer((url) => measure(url, name, name, seconds))
    report(name, during)
    judge(name, idle, during)
  }
} finally {
  await database.stop()
  await rm(directory, { recursive: true, force: true })
}
say(`\n${isFair ? 'PASS' : 'FAIL'}`)
process.exitCode = isFair ? 0 : 1

/** A server and a worker that have been used a little: what one flood leaves behind is not there for the next. */
async function onFreshServer(use: (url: string) => Promise<Measured>): Promise<Measured> {
  const fresh = await database.fresh()
  const place = { directory: join(directory, fresh.url.split('/').at(-1) ?? ''), bucket: null }
  const landfall = await startLandfall(place, thisCheckout(fresh), {
    AUTH_JWT_SECRET: SECRET,
    WORKER: 'child',
    WORKER_CONCURRENCY: '2',
    SCAN: 'off',
    UPLOAD_MAX_OPEN: '2000',
    LOG_LEVEL: 'fatal',
  })
  try {
    await measure(landfall.url, 'warm-up', undefined, WARM_UP_SECONDS)
    return await use(landfall.url)
  } finally {
    await landfall.stop()
  }
}

/** What the ordinary owner meets while the flood is on. */
async function measure(
  url: string,
  name: string,
  flood: string | undefined,
  seconds: number,
): Promise<Measured> {
  const hostile = flood === undefined ? undefined : await begin(url, flood, `hostile-${name}`)
  const bob = new Ordinary(url, tokenOf('bob'))
  const carol = new Ordinary(url, tokenOf('carol'))
  const readyz: Record<string, number> = {}
  let isOver = false
  const watch = (async () => {
    while (!isOver) {
      const { status } = await fetch(`${url}/readyz`).catch(() => ({ status: 0 }))
      readyz[status] = (readyz[status] ?? 0) + 1
      await sleep(500)
    }
  })()
  // A flood has to rise first.
  await sleep(hostile ? 3000 : 500)
  const until = performance.now() + seconds * 1000
  const [day, readyMs] = await Promise.all([
    bob.live(() => performance.now() >= until),
    timeToReady(url, carol),
  ])
  isOver = true
  await watch
  bob.close()
  carol.close()
  return { ...day, readyMs, readyz, hostile: hostile ? await end(hostile) : '' }
}

/** Milliseconds from the last byte of a picture until it is ready: the median of some, sent now and then. */
async function timeToReady(url: string, owner: Ordinary): Promise<number> {
  const times: number[] = []
  for (let n = 0; n < PICTURES; n++) {
    await sleep(BETWEEN_PICTURES_MS)
    const bytes = await readFile((await jpeg({ width: 800, height: 600 + n })).path)
    const headers = { 'Upload-Length': bytes.length, 'Upload-Metadata': `filename ${btoa('a.jpg')}` }
    const created = await owner.ask('/files', { method: 'POST', headers })
    const path = new URL(created.location, url).pathname
    await owner.ask(path, {
      method: 'PATCH',
      headers: { 'Upload-Offset': 0, 'Content-Type': 'application/offset+octet-stream' },
      body: bytes,
    })
    const began = performance.now()
    const id = path.split('/').at(-1)
    for (;;) {
      const { text } = await owner.ask('/api/v1/media')
      const { items }: { items: { uploadId: string; status: string }[] } = JSON.parse(text)
      if (items.some((item) => item.uploadId === id && item.status === 'ready')) break
      if (performance.now() - began > 60_000) return Number.POSITIVE_INFINITY
      await sleep(20)
    }
    times.push(performance.now() - began)
  }
  return median(times)
}

async function begin(url: string, flood: string, owner: string): Promise<ChildProcess> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'hostile.ts'), flood], {
    env: { PATH: process.env.PATH, BENCH_URL: url, BENCH_TOKEN: tokenOf(owner) },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  if (child.pid !== undefined) setPriority(child.pid, FLOOD_NICE)
  if (!child.stdout) throw new Error('the flood has no output')
  await once(child.stdout, 'data')
  return child
}

/** Ends a flood and returns what it was answered. */
async function end(child: ChildProcess): Promise<string> {
  let text = ''
  child.stdout?.on('data', (chunk) => {
    text += chunk
  })
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  await exited
  return text.trim()
}

function report(name: string, { times, unexpected, readyMs, readyz, hostile }: Measured): void {
  say(`\n${name}${hostile === '' ? '' : `: the flood was answered ${hostile}`}`)
  for (const kind of KINDS) say(`  ${kind.padEnd(7)} ${inWords(times[kind])}`)
  say(
    `  a picture is ready after ${readyMs.toFixed(0)} ms (median of ${PICTURES}); /readyz ${JSON.stringify(readyz)}`,
  )
  if (Object.keys(unexpected).length > 0) say(`  unexpected answers: ${JSON.stringify(unexpected)}`)
}

function inWords(times: readonly number[]): string {
  return `${String(times.length).padStart(5)} times, p50 ${median(times).toFixed(1).padStart(7)} ms, p99 ${percentile(times, 99).toFixed(1).padStart(7)} ms`
}

function judge(name: string, idle: Measured, during: Measured): void {
  const problems: string[] = []
  const ratio = (of: (times: Times) => number) => of(during.times) / Math.max(NOISE_MS, of(idle.times))
  for (const kind of KINDS) {
    const p99 = ratio((times) => percentile(times[kind], 99))
    if (!(p99 <= MAX_RATIO)) problems.push(`${kind} p99 is ${p99.toFixed(1)} times that of idle`)
  }
  const ready = during.readyMs / Math.max(NOISE_MS, idle.readyMs)
  if (!(ready <= MAX_RATIO)) problems.push(`a file is ready after ${ready.toFixed(1)} times the time of idle`)
  if (Object.keys(during.unexpected).length > 0) problems.push('answers were not as expected')
  if (Object.keys(during.readyz).some((status) => status !== '200')) problems.push('/readyz was not 200')
  say(problems.length === 0 ? `  PASS: ${name}` : `  FAIL: ${name}: ${problems.join('; ')}`)
  if (problems.length > 0) isFair = false
}
