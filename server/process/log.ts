import pino, { type Logger } from 'pino'

export type Log = Logger

/** The log of the process, as JSON lines on standard error: standard output is for results. */
export function createLog(options: { level: string; name: string }): Log {
  return pino(
    {
      name: options.name,
      level: options.level,
      redact: { paths: ['req.headers.authorization', 'req.headers.cookie'], remove: true },
    },
    pino.destination({ fd: 2, sync: false }),
  )
}
