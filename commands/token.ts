import { signToken } from '../server/auth/dev-token.ts'
import { ConfigError, parseConfig } from '../server/config.ts'
import { withStoredSecret } from '../server/development.ts'
import { type Command, done, textOption, UsageError } from './command.ts'

/** Prints a token for a server with the same AUTH_ settings or `DATA_DIR`. */
export const command: Command = {
  usage: '--sub NAME [--tenant NAME] [--scope "a b"] [--expires SECONDS]',
  details: [
    '  --sub NAME         the owner',
    '  --tenant NAME      the tenant of the owner, for servers with AUTH_TENANT',
    '  --scope "a b"      scopes, separated by spaces',
    '  --expires SECONDS  lifetime; one day by default',
    'Without an AUTH_ key, the development secret below DATA_DIR signs the token.',
  ],
  options: {
    sub: { type: 'string' },
    tenant: { type: 'string' },
    scope: { type: 'string' },
    expires: { type: 'string' },
  },
  async run(call) {
    const config = parseConfig(await withStoredSecret(call.env), { auth: true })
    if (config.auth.key.kind !== 'secret') {
      throw new ConfigError([
        'AUTH_JWT_SECRET: "" is not accepted; tokens are signed with it, other keys are the issuer\'s',
      ])
    }
    const sub = textOption(call, 'sub')
    const tenant = textOption(call, 'tenant')
    const scope = textOption(call, 'scope')
    const expiresInSeconds = Number(textOption(call, 'expires') ?? 86_400)
    if (!sub || !Number.isSafeInteger(expiresInSeconds) || expiresInSeconds <= 0) {
      throw new UsageError('token takes --sub NAME, and --expires a whole number of seconds')
    }
    const signed = signToken(config, { sub, tenant, scope, expiresInSeconds })
    return done([signed], { token: signed, sub, expiresInSeconds })
  },
}
