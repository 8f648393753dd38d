import { readdirSync, readFileSync, writeFileSync } from 'node:fs'

// What Linux says about a process. Elsewhere, and of a process that is gone, everything here is null.

/** What user and system time are counted in: the kernel gives it to every program as 1/100 s. */
const TICKS_PER_SECOND = 100
const SAMPLE_MS = 50

/** CPU seconds that a process has used so far, all its threads together. */
export function cpuSeconds(pid: number): number | null {
  const fields = statOf(pid)
  return fields && (ticks(fields, 14) + ticks(fields, 15)) / TICKS_PER_SECOND
}

/** CPU seconds of a process, of the children it has now and of those that have ended. */
export function treeCpuSeconds(pid: number): number | null {
  const own = statOf(pid)
  if (own === null) return null
  const ended = (ticks(own, 16) + ticks(own, 17)) / TICKS_PER_SECOND
  const living = childrenOf(pid).map((child) => cpuSeconds(child) ?? 0)
  return living.reduce((sum, seconds) => sum + seconds, ended + (cpuSeconds(pid) ?? 0))
}

/**
 * Watches the peak of a process's resident memory from now on. The kernel keeps it, from where its mark can
 * be set back; elsewhere it is sampled. The result of `stop` is in bytes.
 */
export function watchPeakRss(pid: number): { stop(): number | null } {
  if (resetPeak(pid)) return { stop: () => statusBytes(pid, 'VmHWM') }
  let peak: number | null = null
  const sample = () => {
    const bytes = statusBytes(pid, 'VmRSS')
    if (bytes !== null) peak = Math.max(peak ?? 0, bytes)
  }
  sample()
  const timer = setInterval(sample, SAMPLE_MS)
  return {
    stop() {
      clearInterval(timer)
      sample()
      return peak
    },
  }
}

function resetPeak(pid: number): boolean {
  try {
    writeFileSync(`/proc/${pid}/clear_refs`, '5')
    return true
  } catch {
    // Not Linux, or not allowed.
    return false
  }
}

function statusBytes(pid: number, name: string): number | null {
  const kilobytes = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(read(`/proc/${pid}/status`) ?? '')?.[1]
  return kilobytes === undefined ? null : Number(kilobytes) * 1024
}

/** The fields of /proc/PID/stat from the third on. */
function statOf(pid: number): string[] | null {
  const text = read(`/proc/${pid}/stat`)
  // The name of the program, in parentheses, may hold anything.
  return text?.slice(text.lastIndexOf(')') + 2).split(' ') ?? null
}

/** A field by its number in proc(5). */
const ticks = (fields: readonly string[], number: number): number => Number(fields[number - 3])

function childrenOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((child) => statOf(child)?.[1] === String(pid))
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    // Not Linux, or the process has ended.
    return null
  }
}
