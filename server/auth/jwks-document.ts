import { createPublicKey, type KeyObject } from 'node:crypto'
import { MIN_RSA_BITS } from '../public-keys.ts'

export type SigningKey = { kid: string | undefined; key: KeyObject }

/** For the whole response. */
const FETCH_TIMEOUT_MS = 5_000
/** Issuers publish a handful of keys, of one or two kilobytes each. */
const MAX_DOCUMENT_BYTES = 512 * 1024

/**
 * Fetches an issuer's public signing keys (RFC 7517 § 5). Other members are left out, as one of them would spoil the
 * rest. Fails when the document takes longer than five seconds, is larger than 512 KiB or has no key.
 */
export async function fetchSigningKeys(url: string): Promise<readonly SigningKey[]> {
  const keys = (await fetchKeySet(url)).flatMap(signingKeyIn)
  if (keys.length === 0) throw new Error("the issuer's keys: none for signatures")
  return keys
}

/** Empty where a member is for another use, is not public or cannot be read. */
function signingKeyIn(member: unknown): SigningKey[] {
  if (typeof member !== 'object' || member === null) return []
  const { kid, use = 'sig', ...jwk }: { kid?: unknown; use?: unknown } = member
  // With `d` it is a private key, and every reader of the document can sign with it.
  if (use !== 'sig' || 'd' in jwk) return []
  try {
    const key = createPublicKey({ key: jwk, format: 'jwk' })
    return [{ kid: typeof kid === 'string' && kid !== '' ? kid : undefined, key }]
  } catch {
    // Of a kind that Node does not know, or broken.
    return []
  }
}

async function fetchKeySet(url: string): Promise<readonly unknown[]> {
  const response = await fetch(url, {
    headers: { Accept: 'application/jwk-set+json, application/json' },
    // Keys are trusted only from the configured address.
    redirect: 'manual',
    signal: AbortSignal.timeout(FETCH_TIMEOUT_MS),
  })
  if (!response.ok || !response.body) {
    await response.body?.cancel()
    throw new Error(`the issuer's keys: status ${response.status}`)
  }
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of response.body) {
    bytes += chunk.byteLength
    if (bytes > MAX_DOCUMENT_BYTES) throw new Error("the issuer's keys: too large a document")
    chunks.push(chunk)
  }
  const document: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'))
  const keys =
    typeof document === 'object' && document !== null && 'keys' in document ? document.keys : undefined
  if (!Array.isArray(keys)) throw new Error("the issuer's keys: no key set")
  return keys
}

export const WEAK_KEY = `a key of the token issuer is ignored: its RSA modulus has less than ${MIN_RSA_BITS} bits, or it is of another kind than RSA and EC`
