import { INTEROPS, type Interop } from './protocols.ts'
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
  | 'limits'
  | 'small appends'
  | 'token'

export type Capabilities = {
  /** Does tus 1.0. */
  hasTus: boolean
  /** Answers a creation of the IETF draft, in the interop version that is looked at, as one. */
  hasIetf: boolean
  /** The interop version that the server speaks instead; undefined when it speaks the one that is looked at, or none. */
  otherInterop: Interop | undefined
  /** Names in Tus-Extension. */
  extensions: readonly string[]
  checksums: readonly string[]
  /** Of either protocol; undefined when none is announced. */
  maxSize: number | undefined
  /** Upload-Limit of OPTIONS; undefined without one. */
  limits: ReadonlyMap<string, string> | undefined
  hasToken: boolean
}

/**
 * How a server takes a creation of an interop version: it announces that version in a 104, creates an upload without
 * a word about the version, or does neither.
 */
export type Reception = 'announced' | 'created' | 'none'
export type Probe = (interop: Interop) => Promise<Reception>

/** Asks a server what it can do, with the IETF draft in this interop version. Fails when nobody answers there. */
export async function discover(
  endpoint: URL,
  headers: RequestHeaders,
  interop: Interop,
  probe: Probe,
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
  const spoken = await versionSpoken(interop, probe)
  return {
    hasTus: list('Tus-Version').includes('1.0.0'),
    hasIetf: spoken === interop || (spoken === undefined && limit !== undefined),
    otherInterop: spoken === interop ? undefined : spoken,
    extensions: list('Tus-Extension'),
    checksums: list('Tus-Checksum-Algorithm'),
    maxSize: maxSize === undefined ? undefined : integerOf(maxSize),
    limits,
    hasToken: headers.Authorization !== undefined,
  }
}

/** The interop version that a server speaks: the wanted one if it does, another that it does, or undefined. */
async function versionSpoken(wanted: Interop, probe: Probe): Promise<Interop | undefined> {
  const reception = await probe(wanted)
  if (reception === 'announced') return wanted
  const others = INTEROPS.filter((version) => version !== wanted)
  const received = await Promise.all(others.map(probe))
  const other = (how: Reception) => others.find((_version, index) => received[index] === how)
  // Only a 104 has to name its version: a server may create uploads of a version that it does not know.
  return other('announced') ?? (reception === 'created' ? wanted : other('created'))
}

/** Why a requirement does not apply to this server; undefined when it does. */
export function whatIsMissing(need: Need, capabilities: Capabilities): string | undefined {
  if (need === 'max-size') {
    return capabilities.maxSize === undefined ? 'the server announces no largest size' : undefined
  }
  if (need === 'limits') {
    return (capabilities.limits?.size ?? 0) > 0 ? undefined : 'OPTIONS announces no limits'
  }
  if (need === 'small appends') {
    const least = capabilities.limits?.get('min-append-size') ?? '0'
    return least === '0' ? undefined : `the server has a least size of an append: ${least}`
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
