import { type Environment, parseConfig } from '../config.ts'
import { checkBucket } from '../doctor/bucket.ts'
import { checkDatabase } from '../doctor/database.ts'
import type { Finding } from '../doctor/finding.ts'
import { checkClamd } from '../doctor/scanner.ts'
import { checkProgram, checkSandbox } from '../doctor/tools.ts'
import type { Command, Outcome } from './command.ts'

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
    await checkProgram('ffmpeg', config.FFMPEG_PATH, env.PATH),
    await checkProgram('ffprobe', config.FFPROBE_PATH, env.PATH),
    await checkSandbox(config, env.PATH),
    await checkDatabase(config),
    ...(await checkBucket(config)),
    ...(await checkClamd(config, env.PATH)),
  ]
  return {
    code: findings.some((finding) => finding.level === 'error') ? 1 : 0,
    lines: findings.map(({ level, text }) => `${level.padEnd(8)}${text}`),
    json: { findings },
  }
}
