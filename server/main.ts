import { parseArgs } from 'node:util'
import { doctor } from './commands/doctor.ts'
import { migrate } from './commands/migrate.ts'
import { reapNow } from './commands/reap.ts'
import { retry } from './commands/retry.ts'
import { serve } from './commands/serve.ts'
import { token } from './commands/token.ts'
import { webhooks } from './commands/webhooks.ts'
import { work } from './commands/worker.ts'
import { ConfigError } from './config.ts'
import { DataDirectoryInUse } from './embedded/server-lock.ts'
import { Stopped } from './signals.ts'

const HELP = `landfall: a resumable upload server that finishes the job

Usage: landfall <command> [options]

Commands:
  serve      Serve uploads, the API and the page; without DATABASE_URL also run a
             PostgreSQL, a clamd and a worker.    --dev  make up what is needed to try it
  worker     Process received files (needs DATABASE_URL).
  migrate    Bring the database up to date and exit (needs DATABASE_URL).
  reap       End expired uploads and purge deleted media now (needs DATABASE_URL);
             workers do it every minute.
  retry      Process again what failed for reasons of the server (needs DATABASE_URL).
             ID…  or  --all
  webhooks   See to webhooks (needs DATABASE_URL).  list: the last hundred deliveries;
             replay ID: send one again, now;  enable: use an endpoint again that
             has answered 410.
  token      Print a token signed with AUTH_JWT_SECRET.
             --sub NAME  --scope "a b"  --expires SECONDS
  doctor     Check configuration, programs, database and clamd, and say what is wrong.

Settings come from environment variables: see docs/configuration.md.
`

/** Exit codes: 0 done, 1 failed, 2 called or configured wrongly. */
async function main(args: readonly string[]): Promise<number> {
  const [command, ...rest] = args
  const env = process.env
  const options = {
    serve: { dev: { type: 'boolean' } },
    retry: { all: { type: 'boolean' } },
    token: { sub: { type: 'string' }, scope: { type: 'string' }, expires: { type: 'string' } },
  } as const
  const read = <T extends NonNullable<Parameters<typeof parseArgs>[0]>['options']>(accepted: T) =>
    parseArgs({ args: rest, options: { ...accepted, help: { type: 'boolean', short: 'h' } } })
  if (command === undefined || command === 'help' || args.includes('--help') || args.includes('-h')) {
    process.stdout.write(HELP)
    return command === undefined ? 2 : 0
  }
  switch (command) {
    case 'serve':
      return await serve(env, { isDevelopment: read(options.serve).values.dev === true })
    case 'worker':
      read({})
      return await work(env)
    case 'migrate':
      read({})
      return await migrate(env)
    case 'token':
      return token(env, read(options.token).values)
    case 'reap':
      read({})
      return await reapNow(env)
    case 'retry': {
      const { values, positionals } = parseArgs({
        args: rest,
        options: options.retry,
        allowPositionals: true,
      })
      return await retry(env, positionals, values.all === true)
    }
    case 'webhooks':
      return await webhooks(env, parseArgs({ args: rest, allowPositionals: true }).positionals)
    case 'doctor':
      read({})
      return await doctor(env)
    default:
      process.stderr.write(`landfall: there is no command "${command}"; see landfall --help\n`)
      return 2
  }
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  process.exitCode = explain(error)
}
// A listener for the parent's end keeps the channel, and so the process, open.
if (process.connected) process.disconnect()
// Whatever still runs by now (a socket that did not close) must not keep the process.
setTimeout(() => process.exit(), 2_000).unref()

/** Says in one line each what went wrong where that is known; a stack only where it is not. */
function explain(error: unknown): number {
  if (error instanceof Stopped) return 0
  if (error instanceof ConfigError) {
    for (const problem of error.problems) process.stderr.write(`landfall: ${problem}\n`)
    return 2
  }
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  if (code.startsWith('ERR_PARSE_ARGS')) {
    process.stderr.write(`landfall: ${(error as Error).message}\n`)
    return 2
  }
  if (code === 'EADDRINUSE' || code === 'EACCES' || code === 'EADDRNOTAVAIL') {
    process.stderr.write(`landfall: ${(error as Error).message}; choose another HOST or PORT\n`)
    return 1
  }
  const isKnown =
    error instanceof DataDirectoryInUse || (error instanceof Error && error.constructor === Error)
  process.stderr.write(
    `landfall: ${isKnown ? error.message : error instanceof Error ? error.stack : error}\n`,
  )
  if (isKnown && error.cause instanceof Error) process.stderr.write(`  because: ${error.cause.message}\n`)
  return 1
}
