import { readFile } from 'node:fs/promises'
import { betweenLooks } from './pauses.ts'
import { listProcesses } from './processes.ts'

export type MemoryWatch = {
  /** Most bytes that the process itself has had. */
  own(): number
  /** Most bytes that it and its children have had at a time. */
  all(): number
  stop(): Promise<void>
}

/** Watches the resident memory of a process and its children, as often as /proc can be read. */
export function watchMemory(pid: number): MemoryWatch {
  let own = 0
  let all = 0
  let isOver = false
  const watching = (async () => {
    while (!isOver) {
      const children = (await listProcesses()).filter(({ parent }) => parent === pid)
      const [mine = 0, ...theirs] = await Promise.all(
        [pid, ...children.map((child) => child.pid)].map(residentBytes),
      )
      own = Math.max(own, mine)
      all = Math.max(all, mine + theirs.reduce((sum, bytes) => sum + bytes, 0))
      await betweenLooks()
    }
  })()
  return {
    own: () => own,
    all: () => all,
    async stop() {
      isOver = true
      await watching
    },
  }
}

async function residentBytes(pid: number): Promise<number> {
  // One that has ended has none.
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024
}
