import { MIN_RSA_BITS } from '../public-keys.ts'

/** For all of the answer, not for each of its bytes. */
const FETCH_TIMEOUT_MS = 5_000
/** Issuers publish a handful of keys, of one or two kilobytes each. */
const MAX_DOCUMENT_BYTES = 512 * 1024

/**
 * Fetches the document in which an issuer publishes its keys. Members that are no keys are left out: one of them would
 * spoil the others. Fails when it does not arrive whole in five seconds, is larger than 512 KiB or no key set.
 */
export async function fetchKeySet(url: string): Promise<{ keys: object[] }> {
  const response = await fetch(url, {
    headers: { Accept: 'application/jwk-set+json, application/json' },
    // Elsewhere is not where the operator said that the keys are.
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
  return { keys: keys.filter((key: unknown) => typeof key === 'object' && key !== null) }
}

export const WEAK_KEY = `a key of the token issuer is ignored: its RSA modulus has less than ${MIN_RSA_BITS} bits, or it is of another kind than RSA and EC`
