import type { PgBoss } from 'pg-boss'
import { Gauge } from 'prom-client'
import { QUEUES } from '../../jobs/queues.ts'
import type { Collector } from './collector.ts'

/**
 * What waits in the queues, as the workers last counted it: they do so every few seconds, and to count here would be
 * to go through the table of jobs again. Where no worker lives, the figures age, and say so.
 */
export function queueCollector(boss: PgBoss): Collector {
  return {
    name: 'queues',
    async collect(register) {
      const registers = [register]
      const jobs = new Gauge({
        name: 'landfall_queue_jobs',
        help: 'Jobs by queue: ready to be worked on, deferred to a later time, or active.',
        labelNames: ['queue', 'state'],
        registers,
      })
      const age = new Gauge({
        name: 'landfall_queue_counted_seconds',
        help: 'Age of the job counts of a queue.',
        labelNames: ['queue'],
        registers,
      })
      // One after the other: connections are there for uploads.
      for (const queue of Object.values(QUEUES)) {
        const [stats] = await boss.getQueueStats(queue)
        if (!stats) continue
        jobs.set({ queue, state: 'ready' }, stats.readyCount)
        jobs.set({ queue, state: 'deferred' }, stats.deferredCount)
        jobs.set({ queue, state: 'active' }, stats.activeCount)
        age.set({ queue }, Math.max(0, Date.now() - stats.capturedOn.getTime()) / 1000)
      }
    },
  }
}
