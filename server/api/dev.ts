import { wordsIn } from '../auth/claims.ts'
import { signToken } from '../auth/dev-token.ts'
import type { Config } from '../config.ts'
import { Problem } from '../http/errors.ts'
import { readInput } from '../http/read-input.ts'
import { route } from '../routes/route.ts'
import { body } from './answers.ts'
import { TokenRequest } from './schemas.ts'

export type DevServices = { config: Config; devCode: string | undefined }

/** Tokens for clients with the code that this start has printed; only with `AUTH_DEV_TOKENS=true`. */
export const devRoutes = [
  route('post', '/dev/token', 'dev-code', {
    body: { types: ['application/json'], schema: TokenRequest, read: { as: 'json', maxBytes: 4096 } },
    answers: { 200: body('`{ token }`', 'application/json') },
    summary: 'A development token',
    isUnlisted: true,
    isServed: ({ devCode }: DevServices) => devCode !== undefined,
    handle({ request, response }, { config }) {
      const wanted = readInput(TokenRequest, request.body ?? {})
      for (const scope of wordsIn(wanted.scope)) {
        if (config.AUTH_DEV_SCOPES?.includes(scope)) continue
        throw new Problem(
          'forbidden',
          `Development tokens cannot have the scope ${JSON.stringify(scope)}: AUTH_DEV_SCOPES does not list it.`,
        )
      }
      response.set('Cache-Control', 'no-store').json({ token: signToken(config, wanted) })
    },
  }),
]
