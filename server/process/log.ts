import pino, { type Logger } from 'pino'

export type Log = Logger

/** The process's log, as JSON lines on standard error: standard output stays free for what was asked for. */
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
