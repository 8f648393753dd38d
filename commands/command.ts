import type { ParseArgsConfig } from 'node:util'
import type { Environment } from '../server/config.ts'

/** The result of a command, as text and as JSON. Exit codes: 0 done, 1 failed or something is wrong. */
export type Outcome = { code: 0 | 1; lines: readonly string[]; json: unknown }

export type Call = {
  env: Environment
  values: Readonly<Record<string, unknown>>
  positionals: readonly string[]
}

export type Command = {
  /** Arguments in `Usage:`; empty where there are none. */
  usage: string
  /** Further lines of the command's `--help`. */
  details: readonly string[]
  options?: NonNullable<ParseArgsConfig['options']>
  takesPositionals?: boolean
  /** Without `--json`: it runs until it is stopped. */
  isLongRunning?: boolean
  run(call: Call): Promise<Outcome | undefined>
}

/** Invalid usage: one line, exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** A text option; undefined where it is not given. */
export function textOption({ values }: Call, name: string): string | undefined {
  const value = values[name]
  return typeof value === 'string' ? value : undefined
}

export const done = (lines: readonly string[], json: unknown): Outcome => ({ code: 0, lines, json })
