import { DatabaseReadOnly } from '../ledger/ping.ts'
import { type Config, ConfigError, type Environment, parseConfig } from '../server/config.ts'
import { withStoredSecret } from '../server/development.ts'
import { checkAddresses } from '../server/doctor/addresses.ts'
import { checkBucket } from '../server/doctor/bucket.ts'
import { checkDataDirectory } from '../server/doctor/data-directory.ts'
import { checkDatabase } from '../server/doctor/database.ts'
import { checkDisks } from '../server/doctor/disk.ts'
import { error, type Finding, found, ok } from '../server/doctor/finding.ts'
import { checkClamd } from '../server/doctor/scanner.ts'
import { checkTokens } from '../server/doctor/tokens.ts'
import { checkProgram, checkSandbox } from '../server/doctor/tools.ts'
import { CommandFailure } from '../server/process/command-failure.ts'
import { messageOf } from '../server/process/message-of.ts'
import type { Command, Outcome } from './command.ts'
import { withDatabase } from './with-ledger.ts'

/** Checks what can be checked without serving, one line each. Exit code 1 when something is wrong. */
export const command: Command = {
  usage: '',
  details: [],
  run: ({ env }) => examine(env),
}

/** An embedded database may have to be started, recovered and stopped: that is not interrupted. */
const LIMITS_MS: Readonly<Record<string, number>> = { database: 180_000 }

async function examine(env: Environment): Promise<Outcome> {
  const config = parseConfig(await withStoredSecret(env), { auth: false })
  const checks: [what: string, check: () => Promise<readonly Finding[]>][] = [
    ['data', () => checkDataDirectory(config.DATA_DIR)],
    ['tokens', () => checkTokens(config)],
    ['ffmpeg', async () => [await checkProgram('ffmpeg', config.FFMPEG_PATH, env.PATH)]],
    ['ffprobe', async () => [await checkProgram('ffprobe', config.FFPROBE_PATH, env.PATH)]],
    ['sandbox', async () => [await checkSandbox(config, env.PATH)]],
    ['database', () => examineDatabase(env, config)],
    ['storage', () => checkBucket(config)],
    ['clamd', () => checkClamd(config, env.PATH)],
    ['addresses', () => checkAddresses(config)],
  ]
  const findings = await Promise.all(checks.map(([what, check]) => found(what, check, LIMITS_MS[what])))
  return outcomeOf([ok(`configuration: well-formed; Node ${process.versions.node}`), ...findings.flat()])
}

/** The server's database: an embedded one is started where no server runs. */
async function examineDatabase(env: Environment, config: Config): Promise<readonly Finding[]> {
  try {
    return await withDatabase(env, 'doctor', async ({ db, connectionString }) => [
      ...(await checkDatabase(db, connectionString)),
      ...(await found('disk', () => checkDisks(config, db))),
    ])
  } catch (failure) {
    // The configuration is valid, but there is no database.
    if (failure instanceof ConfigError) {
      return [ok(`database: none yet; serve creates one below ${config.DATA_DIR}`)]
    }
    if (!(failure instanceof CommandFailure)) throw failure
    const why =
      failure.cause instanceof DatabaseReadOnly
        ? 'is read-only: it is a replica, or a failover is in progress'
        : `does not answer (${messageOf(failure.cause)})`
    return [error(`database: ${why}`)]
  }
}

function outcomeOf(findings: readonly Finding[]): Outcome {
  return {
    code: findings.some(({ level }) => level === 'error') ? 1 : 0,
    lines: findings.map(({ level, text }) => `${level.padEnd(8)}${text}`),
    json: { findings },
  }
}
