import type { z } from 'zod'
import type { Readiness as ReadinessCheck } from '../health/readiness.ts'
import { route } from '../routes/route.ts'
import { body, json } from './answers.ts'
import { Readiness } from './schemas.ts'

export type HealthServices = { readiness: ReadinessCheck }

/** `/healthz`: the process answers. `/readyz`: 503 where requests should go to another node. */
export const healthRoutes = [
  route('get', '/healthz', 'public', {
    answers: { 200: body('The process runs', 'application/json') },
    summary: 'Whether the process runs',
    handle: ({ response }) => void response.json({ status: 'ok' }),
  }),
  route('get', '/readyz', 'public', {
    answers: { 200: json(Readiness), 503: json(Readiness) },
    summary: 'Whether to send requests to this server',
    async handle({ response }, { readiness }: HealthServices) {
      const report: z.output<typeof Readiness> = await readiness.check()
      const isReady = report.status === 'ready' || report.status === 'degraded'
      response.status(isReady ? 200 : 503).json(report)
    },
  }),
]
