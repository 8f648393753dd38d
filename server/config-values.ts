import { isIP } from 'node:net'
import { z } from 'zod'
import { readAcceptedTypes } from '../content/accepted-types.ts'
import { FORMATS } from '../content/formats.ts'
import { isName } from '../ledger/ids.ts'
import { HLS_NUMBERS, MAX_THUMBNAILS, unknownPlaceholders } from '../storage/store/keys.ts'
import { MIN_RSA_BITS, publicKeysIn } from './public-keys.ts'
import { parseDuration, parseSize } from './units.ts'
import { prefixOf } from './url-prefix.ts'

export const ALGORITHMS = [
  'HS256',
  'HS384',
  'HS512',
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'ES256',
  'ES384',
  'ES512',
] as const
export type Algorithm = (typeof ALGORITHMS)[number]

// Every variable arrives as text. `accepts` is both the end of an error line and a column of docs/configuration.md.

export function parsed<T>(accepts: string, parse: (text: string) => T | undefined) {
  return z
    .string()
    .transform((text, context) => {
      const value = parse(text)
      if (value === undefined) {
        context.addIssue({ code: 'custom', message: accepts })
        return z.NEVER
      }
      return value
    })
    .meta({ accepts })
}

export const integer = (min: number, max: number) =>
  parsed(`a whole number from ${min} to ${max}`, (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN
    return value >= min && value <= max ? value : undefined
  })
export const size = () => parsed('a size such as 500MB (decimal) or 5GiB (binary)', parseSize)
export const duration = () =>
  parsed('a duration such as 60s, 30m or 24h', (text) => {
    const ms = parseDuration(text)
    return ms !== undefined && ms > 0 ? ms : undefined
  })
/** As `duration`, with a minimum, also a duration. */
export const durationFrom = (least: string) => {
  const leastMs = parseDuration(least) ?? 0
  return parsed(`a duration of at least ${least}, such as 30d`, (text) => {
    const ms = parseDuration(text)
    return ms !== undefined && ms > 0 && ms >= leastMs ? ms : undefined
  })
}
/** As `duration`, or `0` for none. */
export const delay = () =>
  parsed('a duration such as 5s, or 0', (text) => (text === '0' ? 0 : parseDuration(text)))
export const seconds = () =>
  parsed('seconds, such as 0, 1 or 2.5', (text) =>
    /^\d{1,6}(\.\d{1,3})?$/.test(text) ? Number(text) : undefined,
  )
export const widths = () =>
  parsed(`one to ${MAX_THUMBNAILS} different widths from 16 to 4096, such as 640,320`, (text) => {
    const values = pixelsIn(text, MAX_THUMBNAILS)
    return values?.every((value) => value >= 16 && value <= 4096) ? values : undefined
  })
export const heights = () =>
  parsed(
    `one to ${HLS_NUMBERS.length} different even heights from 144 to 2160, such as 1080,720,480`,
    (text) => {
      const values = pixelsIn(text, HLS_NUMBERS.length)
      const areHeights = values?.every((value) => value >= 144 && value <= 2160 && value % 2 === 0)
      return areHeights ? values : undefined
    },
  )

/** A list of different numbers, at most `most`. */
function pixelsIn(text: string, most: number): number[] | undefined {
  const values = text.split(',').map((item) => (/^ *\d{1,4} *$/.test(item) ? Number(item) : Number.NaN))
  const isList = values.length <= most && new Set(values).size === values.length
  return isList && !values.some(Number.isNaN) ? values : undefined
}

const LIMITED = ['scan', 'decode', 'analysis', 'transcoding'] as const
type Limits = Partial<Record<(typeof LIMITED)[number], number>>

/** Limits by name. */
export const limits = () =>
  parsed(`limits from 1 to 64 for ${LIMITED.join(', ')}, such as decode=4,transcoding=2`, (text) => {
    const found: Limits = {}
    for (const item of text.split(',')) {
      const [, name, number] = /^ *([a-z]+) *= *(\d{1,2}) *$/.exec(item) ?? []
      const limited = LIMITED.find((known) => known === name)
      const value = Number(number)
      if (!limited || limited in found || !(value >= 1 && value <= 64)) return undefined
      found[limited] = value
    }
    return found
  })
export const flag = () =>
  parsed('true or false', (text) => (text === 'true' ? true : text === 'false' ? false : undefined))
export const oneOf = <const T extends readonly string[]>(...values: T) =>
  parsed(values.join(' or '), (text) => values.find((value): value is T[number] => value === text))
export const url = (...protocols: string[]) =>
  parsed(`a URL that begins with ${protocols.map((p) => `${p}//`).join(' or ')}`, (text) => {
    const value = URL.parse(text)
    return value && protocols.includes(value.protocol) ? text : undefined
  })
/** A base URL, without the slash at its end. */
export const baseUrl = () => url('http:', 'https:').transform((text) => text.replace(/\/+$/, ''))
/** The base URL of this server, with the path below which proxies have it. */
export const publicUrl = () =>
  parsed('a URL that begins with http:// or https://, such as https://host.example:8443/up', (text) => {
    const base = text.replace(/\/+$/, '')
    const value = URL.parse(base)
    if (!value || !/^https?:$/.test(value.protocol)) return undefined
    const { pathname, search, hash, username, password } = value
    const isPlain = search + hash + username + password === '' && prefixOf([pathname]) !== undefined
    return isPlain ? base : undefined
  })
export const origins = () =>
  parsed('* or a comma-separated list of origins, such as https://app.example', (text) => {
    const items = text.split(',').map((item) => item.trim())
    return items.every((item) => item === '*' || URL.parse(item)?.origin === item) ? items : undefined
  })
export const text = (accepts = 'any text') => parsed(accepts, (value) => (value === '' ? undefined : value))

/** The name of a claim of a token, or the way to one. */
export const claim = () =>
  parsed('the name of a claim, such as sub or realm_access.roles', (value) =>
    /^[!-~]{1,255}$/.test(value) ? value : undefined,
  )

/** A prefix of keys: path segments, each followed by a slash. */
export const keyPrefix = () =>
  parsed('a prefix such as media/{owner}/{yyyy}/ (known: {owner}, {tenant}, {yyyy}, {mm})', (value) => {
    if (value === '') return value
    const isPath = /^([A-Za-z0-9_.=-]|\{[a-z]+\})+(\/([A-Za-z0-9_.=-]|\{[a-z]+\})+)*\/?$/.test(value)
    const leaves = value.split('/').some((segment) => segment === '.' || segment === '..')
    if (!isPath || leaves || value.length > 256 || unknownPlaceholders(value).length > 0) return undefined
    return value.endsWith('/') ? value : `${value}/`
  })

export const mediaTypes = () =>
  parsed(
    `media types, such as video/mp4,image/*,application/pdf, or */* for any file (video, image, audio: ${FORMATS.map((f) => f.contentType).join(', ')})`,
    readAcceptedTypes,
  )

export type ClamdAddress = { host: string; port: number } | { socketPath: string }

export const clamd = () =>
  parsed('tcp://HOST:PORT or unix:/PATH', (value): ClamdAddress | undefined => {
    const socketPath = /^unix:(\/.+)$/.exec(value)?.[1]
    if (socketPath) return { socketPath }
    const tcp = URL.parse(value)
    if (tcp?.protocol !== 'tcp:' || tcp.hostname === '' || tcp.port === '') return undefined
    return { host: tcp.hostname.replace(/^\[|\]$/g, ''), port: Number(tcp.port) }
  })

const MIN_SECRET_CHARACTERS = 32
/** Each token is checked against each of them. */
const MAX_KEYS = 8

/**
 * Secrets for tokens; the first one signs. A value with a part that is too short for a secret is a single secret. The
 * whole value always counts as well.
 */
export const secrets = () =>
  parsed(
    `a secret of at least ${MIN_SECRET_CHARACTERS} characters, or up to ${MAX_KEYS} of them, separated by spaces or commas`,
    (value): readonly string[] | undefined => {
      if (value.length < MIN_SECRET_CHARACTERS) return undefined
      const pieces = value.split(/[\s,]+/).filter((piece) => piece !== '')
      const areSecrets = pieces.every((piece) => piece.length >= MIN_SECRET_CHARACTERS)
      if (pieces.length < 2 || !areSecrets) return [value]
      return pieces.length <= MAX_KEYS ? [...new Set([...pieces, value])] : undefined
    },
  )

/** `kid:secret`, or `tenant/kid:secret`; blanks and commas are in none of the three. */
const LINK_KEY = /^(?:(?<tenant>[^\s,:]{1,255})\/)?(?<id>[A-Za-z0-9_.-]{1,64}):(?<secret>.+)$/u

/** Keys with which applications sign links, each with another id. */
export const linkSigningKeys = () =>
  parsed(
    `one to ${MAX_KEYS} keys such as app:SECRET or TENANT/app:SECRET with different names, separated by spaces or commas; a secret has at least ${MIN_SECRET_CHARACTERS} characters`,
    (value) => {
      const keys = value.split(/[\s,]+/).filter((item) => item !== '')
      const found = keys.flatMap((item) => {
        const { tenant = null, id = '', secret = '' } = LINK_KEY.exec(item)?.groups ?? {}
        const isKey = secret.length >= MIN_SECRET_CHARACTERS && (tenant === null || isName(tenant))
        return isKey ? [{ id, tenantId: tenant, secret }] : []
      })
      const areDifferent = new Set(found.map(({ id }) => id)).size === keys.length
      return keys.length > 0 && keys.length <= MAX_KEYS && areDifferent ? found : undefined
    },
  )

/** Standard Webhooks: 24 to 64 random bytes. Several during a rotation. */
export const webhookSecrets = () =>
  parsed(
    'secrets such as whsec_ and the base64 of 24 to 64 bytes, separated by spaces or commas',
    (value): readonly string[] | undefined => {
      const secrets = value.split(/[\s,]+/).filter((item) => item !== '')
      return secrets.length > 0 && secrets.every(isWebhookSecret) ? secrets : undefined
    },
  )

function isWebhookSecret(text: string): boolean {
  const base64 = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(text)?.[1]
  if (base64 === undefined) return false
  const bytes = Buffer.from(base64, 'base64')
  return bytes.length >= 24 && bytes.length <= 64 && bytes.toString('base64') === base64
}

/** Line breaks may be written as \\n, as some hosts require. */
export const publicKeys = () =>
  parsed(
    `one to ${MAX_KEYS} public keys in PEM format (EC, or RSA of at least ${MIN_RSA_BITS} bits)`,
    (value): readonly string[] | undefined => {
      const keys = publicKeysIn(value.replaceAll('\\n', '\n'))
      return keys && keys.length <= MAX_KEYS ? keys : undefined
    },
  )

/** Which `X-Forwarded-*` headers are trusted, as in Express: all, none, a number of hops, or networks. */
export const proxies = () =>
  parsed('false, true, a number of hops, or addresses such as loopback,10.0.0.0/8', (value) => {
    if (value === 'true' || value === 'false') return value === 'true'
    if (/^\d{1,3}$/.test(value)) return Number(value)
    return value.split(',').every((item) => isNetwork(item.trim())) ? value : undefined
  })

function isNetwork(text: string): boolean {
  if (text === 'loopback' || text === 'linklocal' || text === 'uniquelocal') return true
  const [address = '', prefix, ...rest] = text.split('/')
  const family = isIP(address)
  if (family === 0 || rest.length > 0) return false
  return (
    prefix === undefined ||
    (/^\d{1,3}$/.test(prefix) && Number(prefix) >= 1 && Number(prefix) <= (family === 4 ? 32 : 128))
  )
}

/** As in a token: RFC 6749 § 3.3, without the separator used here. */
export const scopes = () =>
  parsed(
    'scopes such as admin,service, separated by spaces or commas',
    (value): readonly string[] | undefined => {
      const names = value.split(/[\s,]+/).filter((name) => name !== '')
      return names.length > 0 && names.every((name) => /^[A-Za-z0-9._:/-]{1,100}$/.test(name))
        ? names
        : undefined
    },
  )

export const algorithms = () =>
  parsed(`a comma-separated list of ${ALGORITHMS.join(', ')}`, (value) => {
    const names = value.split(',').map((name) => name.trim())
    const known = names.filter((name): name is Algorithm => ALGORITHMS.some((a) => a === name))
    return known.length === names.length ? known : undefined
  })
