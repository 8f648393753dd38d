import pino from 'pino'
import { expect, it } from 'vitest'
import { parseConfig } from '../server/config.ts'
import { startHttpServer } from '../server/serving/http-server.ts'
import { SECRET, startLandfall } from './support/landfall.ts'

it('a probe that is answered with 503 is no line in the log each time', async () => {
  const here = await startLandfall({ withoutWorker: true })
  const lines: string[] = []
  const log = pino({ level: 'info' }, { write: (line) => lines.push(line) })
  const { connectionString, dataDirectory } = here
  const env = { AUTH_JWT_SECRET: SECRET, PORT: '0', SCAN: 'off', DATA_DIR: dataDirectory }
  const config = parseConfig({ ...env, DATABASE_URL: connectionString }, { auth: true })
  const options = { config, log, connectionString, isOnlyServer: false, devCode: undefined }
  const server = await startHttpServer({ ...options, pageDirectory: undefined })
  try {
    server.readiness.drain()
    for (const path of ['/readyz', '/readyz?verbose', '/healthz', '/readyz']) {
      const answer = await fetch(`http://127.0.0.1:${server.port}${path}`)
      expect(answer.status).toBe(path === '/healthz' ? 200 : 503)
      await answer.body?.cancel()
    }
    // The log does write requests that fail.
    await fetch(`http://127.0.0.1:${server.port}/api/v1/quota`)
  } finally {
    await server.close()
    await here.close()
  }
  expect(lines.filter((line) => line.includes('/api/v1/quota')).length).toBeGreaterThan(0)
  expect(lines.filter((line) => /readyz|healthz/.test(line))).toEqual([])
})
