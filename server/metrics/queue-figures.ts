import type { PgBoss } from 'pg-boss'
import { QUEUES } from '../../jobs/queues.ts'
import type { Collector } from './collector.ts'
import { gauge } from './instruments.ts'

/**
 * Waiting jobs, as the workers last counted them every few seconds: counting here would read the table of jobs again.
 * Without a worker the figures become old, which the age shows.
 */
export function queueCollector(boss: PgBoss): Collector {
  return {
    name: 'queues',
    async collect(register) {
      const help = 'Jobs by queue: ready to be worked on, deferred to a later time, or active.'
      const jobs = gauge(register, 'landfall_queue_jobs', help, 'queue', 'state')
      const aged = 'Age of the job counts of a queue.'
      const age = gauge(register, 'landfall_queue_counted_seconds', aged, 'queue')
      // One at a time: connections are for uploads.
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
