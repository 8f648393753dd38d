import { readdir, readFile } from 'node:fs/promises'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Counter, Gauge, type Registry } from 'prom-client'

/** Costs 0.2 % of a core; 10 ms, as in prom-client, 0.5 %. */
const EVENT_LOOP_RESOLUTION_MS = 20
const NANOSECONDS = 1e9

/**
 * What `collectDefaultMetrics` of prom-client tells of a Node process, under its names, so that dashboards made for
 * these fit. That function itself starts an event loop monitor and an observer of the garbage collector, and has no way
 * to stop them; and what the observer costs, 0.3 ms for each collection, would be felt by every small request. So the
 * garbage collector is not watched. Returns what stops the rest.
 */
export function watchProcess(register: Registry): () => void {
  addProcess(register)
  addMemory(register)
  addFileDescriptors(register)
  return watchEventLoop(register)
}

function addProcess(register: Registry): void {
  const registers = [register]
  const cpu = (name: string, help: string, microseconds: (usage: NodeJS.CpuUsage) => number) =>
    new Counter({
      name,
      help,
      registers,
      collect() {
        this.reset()
        this.inc(microseconds(process.cpuUsage()) / 1e6)
      },
    })
  cpu('process_cpu_user_seconds_total', 'CPU time spent in the program.', ({ user }) => user)
  cpu('process_cpu_system_seconds_total', 'CPU time spent in the kernel.', ({ system }) => system)
  cpu('process_cpu_seconds_total', 'CPU time spent.', ({ user, system }) => user + system)
  new Gauge({
    name: 'process_start_time_seconds',
    help: 'When the process started, in seconds since 1970.',
    registers,
  }).set(Math.round(Date.now() / 1000 - process.uptime()))
  new Gauge({
    name: 'nodejs_version_info',
    help: 'The version of Node.',
    labelNames: ['version', 'major', 'minor', 'patch'],
    registers,
  }).set(versionLabels(process.version), 1)
  new Gauge({
    name: 'nodejs_active_resources',
    help: 'Active resources of the event loop by type.',
    labelNames: ['type'],
    registers,
    collect() {
      this.reset()
      for (const type of process.getActiveResourcesInfo()) this.inc({ type })
    },
  })
}

function versionLabels(version: string) {
  const [major = '', minor = '', patch = ''] = version.slice(1).split('.')
  return { version, major, minor, patch }
}

function addMemory(register: Registry): void {
  const memory = (name: string, help: string, bytes: (usage: NodeJS.MemoryUsage) => number) =>
    new Gauge({
      name,
      help,
      registers: [register],
      collect() {
        this.set(bytes(process.memoryUsage()))
      },
    })
  memory('process_resident_memory_bytes', 'Memory of the process in RAM.', ({ rss }) => rss)
  memory('nodejs_heap_size_total_bytes', 'Size of the heap.', ({ heapTotal }) => heapTotal)
  memory('nodejs_heap_size_used_bytes', 'Used size of the heap.', ({ heapUsed }) => heapUsed)
  memory('nodejs_external_memory_bytes', 'Memory outside of the heap.', ({ external }) => external)
}

/** Where there is no /proc, there are no such figures. */
function addFileDescriptors(register: Registry): void {
  if (process.platform !== 'linux') return
  new Gauge({
    name: 'process_open_fds',
    help: 'Open file descriptors.',
    registers: [register],
    async collect() {
      // One of them is the folder's own.
      this.set((await readdir('/proc/self/fd')).length - 1)
    },
  })
  new Gauge({
    name: 'process_max_fds',
    help: 'Maximum number of open file descriptors.',
    registers: [register],
    async collect() {
      const [, limit] = /^Max open files +(\d+)/m.exec(await readFile('/proc/self/limits', 'utf8')) ?? []
      this.set(limit === undefined ? Number.POSITIVE_INFINITY : Number(limit))
    },
  })
}

/** Of the time since the scrape before. */
function watchEventLoop(register: Registry): () => void {
  const delay = monitorEventLoopDelay({ resolution: EVENT_LOOP_RESOLUTION_MS })
  delay.enable()
  const registers = [register]
  // The first of them: it sets the others before they are read.
  new Gauge({
    name: 'nodejs_eventloop_lag_seconds',
    help: 'The delay of the event loop at this moment.',
    registers,
    async collect() {
      for (const [gauge, nanoseconds] of figures) {
        if (delay.count > 0) gauge.set(nanoseconds() / NANOSECONDS)
        else gauge.remove()
      }
      delay.reset()
      const from = performance.now()
      await nextTurn()
      this.set((performance.now() - from) / 1000)
    },
  })
  const lag = (name: string, help: string) => new Gauge({ name, help, registers })
  const figures = [
    [lag('nodejs_eventloop_lag_min_seconds', 'The minimum delay of the event loop.'), () => delay.min],
    [lag('nodejs_eventloop_lag_max_seconds', 'The maximum delay of the event loop.'), () => delay.max],
    [lag('nodejs_eventloop_lag_mean_seconds', 'The mean delay of the event loop.'), () => delay.mean],
    [
      lag('nodejs_eventloop_lag_stddev_seconds', 'The standard deviation of the event loop delay.'),
      () => delay.stddev,
    ],
    [
      lag('nodejs_eventloop_lag_p50_seconds', 'The median delay of the event loop.'),
      () => delay.percentile(50),
    ],
    [
      lag('nodejs_eventloop_lag_p90_seconds', 'The 90th percentile of the event loop delay.'),
      () => delay.percentile(90),
    ],
    [
      lag('nodejs_eventloop_lag_p99_seconds', 'The 99th percentile of the event loop delay.'),
      () => delay.percentile(99),
    ],
  ] as const
  return () => delay.disable()
}
