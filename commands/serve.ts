import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { newDevCode } from '../server/auth/dev-code.ts'
import { signToken } from '../server/auth/dev-token.ts'
import { type Config, type Environment, parseConfig } from '../server/config.ts'
import { developmentEnvironment, isLoopback, sharedServerVariable } from '../server/development.ts'
import { superviseWorker } from '../server/embedded/worker-process.ts'
import { createLog, type Log } from '../server/process/log.ts'
import { Releasers } from '../server/process/releasers.ts'
import { listenForStop } from '../server/process/signals.ts'
import { type HttpServer, startHttpServer } from '../server/serving/http-server.ts'
import type { Command } from './command.ts'
import { openOwnServices } from './own-services.ts'

const ROOT = join(import.meta.dirname, '..')

export const command: Command = {
  usage: '[--dev]',
  details: [
    '  --dev  generate a secret and offer development tokens, for a trial',
    'Starts a PostgreSQL unless DATABASE_URL is set, a clamd unless CLAMD_URL is set, and a worker unless WORKER=off.',
    'Runs until it is stopped.',
  ],
  options: { dev: { type: 'boolean' } },
  isLongRunning: true,
  run: ({ env, values }) => serve(env, values.dev === true),
}

/** Serves until it is stopped, with the services that are not external. */
async function serve(given: Environment, isDevelopment: boolean): Promise<undefined> {
  const env = isDevelopment ? await developmentEnvironment(given) : given
  const config = parseConfig(env, { auth: true })
  const log = createLog({ level: config.LOG_LEVEL, name: 'landfall' })
  const stop = listenForStop(log)
  const releasers = new Releasers()
  try {
    const { database, clamd } = await openOwnServices(config, env, log, { releasers, stop })
    const { connectionString } = database
    const pageDirectory = join(ROOT, 'client-demo', 'dist')
    const devCode = config.AUTH_DEV_TOKENS ? newDevCode() : undefined
    const server = await startHttpServer({
      config: { ...config, CLAMD_URL: clamd.address },
      log,
      connectionString,
      isOnlyServer: config.DATABASE_URL === undefined,
      devCode,
      pageDirectory: existsSync(pageDirectory) ? pageDirectory : undefined,
    })
    let worker: { stop(): Promise<void> } | undefined
    releasers.add('server and worker', async () => {
      await Promise.all([server.close(), worker?.stop()])
    })
    stop.check()
    if (config.WORKER === 'child')
      worker = superviseWorker({ ...env, DATABASE_URL: connectionString, ...clamd.forWorker }, log)
    greet(config, server.port, devCode)
    if (isDevelopment) sayWhyNoTokens(config, given)
    warnSoon(server, log)
    const lost = await Promise.race([stop.asked, database.lost])
    if (lost) throw lost
  } finally {
    await releasers.releaseAll(log)
  }
}

/** Loading signatures takes a while, so clamd is asked later, and a warning is printed where nobody misses it. */
function warnSoon(server: HttpServer, log: Log): void {
  const timer = setInterval(async () => {
    const { warnings, checks } = await server.readiness.check()
    if (checks.scanner.status === 'failing') return
    clearInterval(timer)
    for (const warning of warnings) {
      log.warn(warning)
      // A terminal gets it apart from the log; a log collector only as a log line.
      if (process.stderr.isTTY) process.stderr.write(`\n!! ${warning}\n\n`)
    }
  }, 1_000).unref()
}

function greet(config: Config, port: number, devCode: string | undefined): void {
  const local = `http://${config.HOST.includes(':') ? `[${config.HOST}]` : config.HOST}:${port}`
  const address = config.PUBLIC_URL ?? local
  const lines = [`Landfall is at ${address}`]
  if (devCode !== undefined) {
    // Tokens are only given out under a loopback name.
    const page = isLoopback(config.HOST) ? local : `http://127.0.0.1:${port}`
    lines.push(
      `Its page is at ${page}/?code=${devCode} (anybody with this code gets tokens until the server stops)`,
    )
  }
  if (devCode !== undefined && isLoopback(config.HOST)) {
    lines.push(
      '',
      'A development token, valid for one day, and an upload with it:',
      '',
      `  TOKEN=${signToken(config, { sub: 'developer' })} FILE=movie.mp4`,
      `  URL=$(curl -si -X POST ${address}/files -H "Authorization: Bearer $TOKEN" -H 'Tus-Resumable: 1.0.0' -H "Upload-Length: $(wc -c < "$FILE" | tr -d ' ')" -H "Upload-Metadata: filename $(printf %s "$FILE" | base64 | tr -d '\\n')" | tr -d '\\r' | sed -n 's#^[Ll]ocation: /#${new URL(address).origin}/#p;s/^[Ll]ocation: http/http/p')`,
      `  curl -i -X PATCH "$URL" -H "Authorization: Bearer $TOKEN" -H 'Tus-Resumable: 1.0.0' -H 'Upload-Offset: 0' -H 'Content-Type: application/offset+octet-stream' --data-binary @"$FILE"`,
      '',
      'Or open the page in a browser. Ctrl-C stops everything.',
    )
  }
  process.stdout.write(`${lines.join('\n')}\n`)
}

/** Explains why there are no development tokens. */
function sayWhyNoTokens(config: Config, given: Environment): void {
  const reason = sharedServerVariable(given)
  if (config.AUTH_DEV_TOKENS || reason === undefined) return
  process.stdout.write(
    `Development tokens are off because ${reason} is set. "npm run landfall -- token --sub NAME" prints a token, with the same settings.\n`,
  )
}
