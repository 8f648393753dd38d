import { ConfigError, type Environment, parseConfig } from '../../server/config.ts'

/** What the configuration says against these variables; nothing where it takes them. */
export function problemsOf(env: Environment, needs = { auth: false }): readonly string[] {
  try {
    parseConfig(env, needs)
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
  return []
}
