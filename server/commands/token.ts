import { signToken } from '../auth/dev-token.ts'
import { ConfigError, type Environment, parseConfig } from '../config.ts'

/** Prints a token that a server with the same AUTH_ settings accepts. */
export function token(
  env: Environment,
  values: { sub?: string | undefined; scope?: string | undefined; expires?: string | undefined },
): number {
  const config = parseConfig(env, { auth: true })
  if (config.auth.key.kind !== 'secret') {
    throw new ConfigError([
      'AUTH_JWT_SECRET: "" is not accepted; tokens are signed with it, other keys are the issuer\'s',
    ])
  }
  const expiresInSeconds = Number(values.expires ?? 86_400)
  if (!values.sub || !Number.isSafeInteger(expiresInSeconds) || expiresInSeconds <= 0) {
    process.stderr.write('landfall: token takes --sub NAME, and --expires a whole number of seconds\n')
    return 2
  }
  const signed = signToken(config, {
    sub: values.sub,
    expiresInSeconds,
    ...(values.scope === undefined ? {} : { scope: values.scope }),
  })
  process.stdout.write(`${signed}\n`)
  return 0
}
