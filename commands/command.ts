import type { ParseArgsConfig } from 'node:util'
import type { Environment } from '../server/config.ts'

/** What a command did, for a person and for a program. Exit codes: 0 done, 1 failed or something is wrong. */
export type Outcome = { code: 0 | 1; lines: readonly string[]; json: unknown }

export type Call = {
  env: Environment
  values: Readonly<Record<string, unknown>>
  positionals: readonly string[]
}

export type Command = {
  /** What follows the name in `Usage:`; empty where it takes nothing. */
  usage: string
  /** What `--help` of the command says beside its usage. */
  details: readonly string[]
  options?: NonNullable<ParseArgsConfig['options']>
  takesPositionals?: boolean
  /** Whether it prints something that `--json` gives to programs; not so for what runs until it is stopped. */
  isLongRunning?: boolean
  run(call: Call): Promise<Outcome | undefined>
}

/** A command was called wrongly: one line, exit code 2. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'UsageError'
  }
}

/** An option that takes a text; undefined where it is not given. */
export function textOption({ values }: Call, name: string): string | undefined {
  const value = values[name]
  return typeof value === 'string' ? value : undefined
}

export const done = (lines: readonly string[], json: unknown): Outcome => ({ code: 0, lines, json })
