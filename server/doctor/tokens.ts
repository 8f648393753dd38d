import { fetchSigningKeys } from '../auth/jwks-document.ts'
import type { Config } from '../config.ts'
import { isLoopback } from '../development.ts'
import { messageOf } from '../process/message-of.ts'
import { isStrongEnough } from '../public-keys.ts'
import { error, type Finding, ok, warning } from './finding.ts'

/** Problems of the settings for tokens. */
export async function checkTokens(config: Config): Promise<readonly Finding[]> {
  const { key, algorithms } = config.auth
  const accepted = algorithms.join(', ')
  const findings: Finding[] = []
  if (key.kind === 'secret') findings.push(aboutSecrets(key.secrets.length, accepted))
  if (key.kind === 'public-key')
    findings.push(ok(`tokens: ${count(key.pems.length, 'public key')}; ${accepted}`))
  if (key.kind === 'jwks') findings.push(...(await checkKeySet(key.url, algorithms)))
  if (key.kind === 'jwks' && config.AUTH_AUDIENCE === undefined) {
    findings.push(
      warning(
        'tokens: AUTH_AUDIENCE is not set, so tokens that were issued for other services are accepted as well',
      ),
    )
  }
  if (config.AUTH_DEV_TOKENS) {
    findings.push(
      warning(
        'tokens: AUTH_DEV_TOKENS=true; anyone with the code that is printed at the start can get a token for any user',
      ),
    )
  }
  return findings
}

function aboutSecrets(secrets: number, accepted: string): Finding {
  if (secrets === 0) {
    return warning(
      'tokens: no key is set; `serve` needs AUTH_JWT_SECRET, AUTH_JWT_PUBLIC_KEY or AUTH_JWKS_URL (`npm start` generates a secret for trials)',
    )
  }
  // Of several, the whole value counts as one more: a secret may contain a blank.
  const text = secrets === 1 ? '1 secret' : `${secrets - 1} secrets, of which the first signs`
  return ok(`tokens: ${text}; ${accepted}`)
}

/** Fetches the keys as a server does. */
async function checkKeySet(url: string, algorithms: readonly string[]): Promise<readonly Finding[]> {
  const keys = await fetchSigningKeys(url).catch((failure: unknown) => messageOf(failure))
  if (typeof keys === 'string') return [error(`tokens: AUTH_JWKS_URL returned no keys (${keys})`)]
  const strong = keys.filter(({ key }) => isStrongEnough(key))
  const usable = strong.filter(({ key }) => {
    const isCurve = key.asymmetricKeyType === 'ec'
    return algorithms.some((algorithm) => algorithm.startsWith('ES') === isCurve)
  })
  const weak = keys.length - strong.length
  return [
    usable.length === 0
      ? error(
          `tokens: none of the ${count(keys.length, 'key')} of AUTH_JWKS_URL can be used for ${algorithms.join(', ')}`,
        )
      : ok(`tokens: AUTH_JWKS_URL gives ${count(usable.length, 'key')} for ${algorithms.join(', ')}`),
    ...(weak > 0
      ? [
          warning(
            `tokens: ${count(weak, 'key')} of AUTH_JWKS_URL ${weak === 1 ? 'is' : 'are'} too weak and ignored`,
          ),
        ]
      : []),
    ...(new URL(url).protocol === 'http:' && !isLoopback(new URL(url).hostname)
      ? [
          warning(
            'tokens: AUTH_JWKS_URL is not https: anybody who can intercept the connection can issue tokens for any owner',
          ),
        ]
      : []),
  ]
}

const count = (number: number, what: string): string => `${number} ${what}${number === 1 ? '' : 's'}`
