import { randomUUID } from 'node:crypto'
import { execa } from 'execa'
import { openDatabase } from '../../ledger/database.ts'
import { NEWER_SCHEMA, schemaProblem, schemaState } from '../../ledger/schema-state.ts'
import { openSandbox } from '../../processing/tool-sandbox.ts'
import { openS3 } from '../../storage/s3/s3.ts'
import { S3Objects } from '../../storage/s3/s3-objects.ts'
import { servedAs } from '../../storage/served-as.ts'
import { SYSTEM_PATH } from '../../storage/system-path.ts'
import { clamdVersion, hasOfficialSignatures } from '../clamd-link.ts'
import { type Config, type Environment, parseConfig } from '../config.ts'
import { TEST_SIGNATURES_WARNING } from '../readiness.ts'
import { storageOptionsOf } from '../storage-options.ts'
import type { Command, Outcome } from './command.ts'

type Finding = { level: 'ok' | 'warning' | 'error'; text: string }

/** Checks what can be checked without serving, a line each; ends with 1 when something is wrong. */
export const doctor: Command = {
  name: 'doctor',
  summary: 'Check the configuration and what it leads to, and say what is wrong.',
  usage: '',
  details: [],
  run: ({ env }) => examine(env),
}

async function examine(env: Environment): Promise<Outcome> {
  const config = parseConfig(env, { auth: false })
  const findings = [
    { level: 'ok', text: `configuration: well-formed; data in ${config.DATA_DIR}` } satisfies Finding,
    await checkProgram('ffmpeg', config.FFMPEG_PATH),
    await checkProgram('ffprobe', config.FFPROBE_PATH),
    await checkSandbox(config, env.PATH),
    await checkDatabase(config),
    ...(await checkBucket(config)),
    ...(await checkClamd(config)),
  ]
  return {
    code: findings.some((finding) => finding.level === 'error') ? 1 : 0,
    lines: findings.map(({ level, text }) => `${level.padEnd(8)}${text}`),
    json: { findings },
  }
}

async function checkProgram(name: string, path: string): Promise<Finding> {
  try {
    const { stdout } = await execa(path, ['-version'], { timeout: 10_000 })
    return { level: 'ok', text: `${name}: ${stdout.split('\n', 1)[0]}` }
  } catch {
    return {
      level: 'error',
      text: `${name}: "${path}" cannot be run; install ffmpeg or set ${name.toUpperCase()}_PATH`,
    }
  }
}

/** What ffmpeg would run in on this machine. */
async function checkSandbox(config: Config, path: string = SYSTEM_PATH): Promise<Finding> {
  const { TOOL_SANDBOX: wish, FFMPEG_PATH, FFPROBE_PATH, DATA_DIR: dataDirectory } = config
  const tools = [FFMPEG_PATH, FFPROBE_PATH]
  try {
    const { kind } = await openSandbox({ path, dataDirectory, tools, wish })
    if (kind === 'none') {
      const why = wish === 'off' ? 'TOOL_SANDBOX=off' : 'neither bwrap nor unshare works here'
      return {
        level: 'warning',
        text: `sandbox: none (${why}); ffmpeg has network and sees what the worker sees`,
      }
    }
    const view =
      kind === 'bwrap' ? 'sees nothing of DATA_DIR but its input' : 'can write to nothing but its folder'
    return { level: 'ok', text: `sandbox: ${kind}; ffmpeg has no network for files on disk, and ${view}` }
  } catch (error) {
    return { level: 'error', text: `sandbox: ${error instanceof Error ? error.message : error}` }
  }
}

async function checkDatabase(config: Config): Promise<Finding> {
  if (config.DATABASE_URL === undefined) return { level: 'ok', text: 'database: embedded, started by serve' }
  const db = openDatabase({
    connectionString: config.DATABASE_URL,
    maxConnections: 1,
    applicationName: 'landfall-doctor',
    onPoolError: () => {},
  })
  try {
    const state = await schemaState(db)
    if (state.unreadable.length > 0) return { level: 'error', text: `database: ${schemaProblem(state)}` }
    if (state.pending.length > 0) {
      return { level: 'warning', text: `database: answers; to migrate: ${state.pending.join(', ')}` }
    }
    return state.newer.length > 0
      ? { level: 'warning', text: `database: answers; ${NEWER_SCHEMA} (${state.newer.join(', ')})` }
      : { level: 'ok', text: 'database: answers and is up to date' }
  } catch (error) {
    return {
      level: 'error',
      text: `database: does not answer (${error instanceof Error ? error.message : error})`,
    }
  } finally {
    await db.destroy()
  }
}

/** Stores a small object and removes it again. */
async function checkBucket(config: Config): Promise<Finding[]> {
  const options = storageOptionsOf(config)
  if (options.kind !== 's3') return []
  const s3 = openS3(options)
  const objects = new S3Objects(s3)
  const key = `landfall-doctor-${randomUUID()}`
  try {
    await objects.checkWritable()
    await objects.put(key, Buffer.from('written by landfall doctor'), servedAs(null))
    await objects.remove(key)
    return [{ level: 'ok', text: `storage: bucket ${options.bucket} can be written` }]
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
    return [
      {
        level: 'error',
        text: `storage: bucket ${options.bucket} cannot be written (${cause instanceof Error ? `${cause.name}: ${cause.message}` : cause})`,
      },
    ]
  } finally {
    s3.close()
  }
}

async function checkClamd(config: Config): Promise<Finding[]> {
  if (config.SCAN === 'off') return [{ level: 'warning', text: 'clamd: SCAN=off, files are not scanned' }]
  try {
    const version = await clamdVersion(config.CLAMD_URL, 3_000)
    return [
      { level: 'ok', text: `clamd: ${version}` },
      ...(hasOfficialSignatures(version)
        ? []
        : [{ level: 'warning', text: `clamd: ${TEST_SIGNATURES_WARNING}` } as const]),
    ]
  } catch {
    return [
      {
        level: 'warning',
        text: 'clamd: does not answer now; serve starts one when the address is on this machine',
      },
    ]
  }
}
