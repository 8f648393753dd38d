import { parseJson } from '../../system/parse-json.ts'

/** The part of a token's header that is read before the signature is checked. */
export type TokenHeader = { alg: string; kid: string | undefined }

const PART = /^[A-Za-z0-9_-]+$/

/**
 * Reads the header of a compact JWS (RFC 7515 § 4.1); undefined for anything else. The text is not verified yet, so
 * every value is checked. A header with `crit` demands something unknown (§ 4.1.11).
 */
export function readTokenHeader(token: string): TokenHeader | undefined {
  const parts = token.split('.', 4)
  if (parts.length !== 3 || !parts.every((part) => PART.test(part))) return undefined
  const header = parseObject(parts[0] ?? '')
  // The library would parse a JSON string in the payload once more, and use its claims.
  const payload = parseObject(parts[1] ?? '')
  if (!header || !payload || Object.hasOwn(header, 'crit')) return undefined
  const { alg, kid } = header
  if (typeof alg !== 'string' || (kid !== undefined && typeof kid !== 'string')) return undefined
  return { alg, kid }
}

function parseObject(part: string): Record<string, unknown> | undefined {
  const value = parseJson(Buffer.from(part, 'base64url').toString('utf8'))
  return isObject(value) ? value : undefined
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
