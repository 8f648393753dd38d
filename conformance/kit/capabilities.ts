import { dictionaryOf, integerOf } from './structured.ts'
import { Exchange, type RequestHeaders } from './wire.ts'

/** Extensions of tus 1.0 by the names that OPTIONS gives them, and what else a server may or may not have. */
export type Need =
  | 'creation'
  | 'creation-with-upload'
  | 'creation-defer-length'
  | 'expiration'
  | 'checksum'
  | 'checksum-trailer'
  | 'termination'
  | 'concatenation'
  | 'concatenation-unfinished'
  | `checksum ${string}`
  | 'max-size'
  | 'token'

export type Capabilities = {
  /** Does tus 1.0. */
  hasTus: boolean
  /** Answers a creation of the IETF draft as one. */
  hasIetf: boolean
  /** Names in Tus-Extension. */
  extensions: readonly string[]
  checksums: readonly string[]
  /** Of either protocol; undefined when none is announced. */
  maxSize: number | undefined
  /** Upload-Limit of OPTIONS; undefined without one. */
  limits: ReadonlyMap<string, string> | undefined
  hasToken: boolean
}

/** Asks a server what it can do. Fails when nobody answers there. */
export async function discover(
  endpoint: URL,
  headers: RequestHeaders,
  probe: () => Promise<boolean>,
): Promise<Capabilities> {
  const { status, headers: told } = await Exchange.send(endpoint, { method: 'OPTIONS', headers })
  const hasAnswered = status === 200 || status === 204
  const list = (name: string) =>
    (hasAnswered ? (told.get(name) ?? '') : '')
      .split(',')
      .map((part) => part.trim())
      .filter((part) => part !== '')
  const limit = hasAnswered ? told.get('Upload-Limit') : undefined
  const limits = limit === undefined ? undefined : dictionaryOf(limit)
  const maxSize = list('Tus-Max-Size')[0] ?? limits?.get('max-size')
  return {
    hasTus: list('Tus-Version').includes('1.0.0'),
    hasIetf: limit !== undefined || (await probe()),
    extensions: list('Tus-Extension'),
    checksums: list('Tus-Checksum-Algorithm'),
    maxSize: maxSize === undefined ? undefined : integerOf(maxSize),
    limits,
    hasToken: headers.Authorization !== undefined,
  }
}

/** Why a requirement does not apply to this server; undefined when it does. */
export function whatIsMissing(need: Need, capabilities: Capabilities): string | undefined {
  if (need === 'max-size') {
    return capabilities.maxSize === undefined ? 'the server announces no largest size' : undefined
  }
  if (need === 'token') {
    return capabilities.hasToken ? undefined : 'the server is used without a token'
  }
  if (need.startsWith('checksum ')) {
    const algorithm = need.slice('checksum '.length)
    const isOffered =
      capabilities.extensions.includes('checksum') && capabilities.checksums.includes(algorithm)
    return isOffered ? undefined : `the server does not offer ${algorithm} checksums`
  }
  return capabilities.extensions.includes(need) ? undefined : `the server does not offer ${need}`
}
