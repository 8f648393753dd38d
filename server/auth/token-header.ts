/** What of a token's header is looked at before its signature is. */
export type TokenHeader = { alg: string; kid: string | undefined }

const PART = /^[A-Za-z0-9_-]+$/

/**
 * Reads the header of a JWS in compact form (RFC 7515 § 4.1); undefined for anything else. Nobody has signed this text
 * yet, so nothing in it is taken for what it should be. A header with `crit` asks for something that is not understood
 * here (§ 4.1.11), whatever it is.
 */
export function readTokenHeader(token: string): TokenHeader | undefined {
  const parts = token.split('.', 4)
  if (parts.length !== 3 || !parts.every((part) => PART.test(part))) return undefined
  const header = parseObject(parts[0] ?? '')
  // The library parses a text in the payload once more, and takes what it finds there for claims.
  const payload = parseObject(parts[1] ?? '')
  if (!header || !payload || Object.hasOwn(header, 'crit')) return undefined
  const { alg, kid } = header
  if (typeof alg !== 'string' || (kid !== undefined && typeof kid !== 'string')) return undefined
  return { alg, kid }
}

function parseObject(part: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'))
    return isObject(value) ? value : undefined
  } catch {
    // No JSON is no object either.
    return undefined
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
