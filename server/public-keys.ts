import { createPublicKey, type KeyObject, X509Certificate } from 'node:crypto'

/** NIST SP 800-131A: shorter RSA keys can be broken. */
export const MIN_RSA_BITS = 2048

/** Whether a key fits an accepted algorithm and is strong enough. */
export function isStrongEnough(key: KeyObject): boolean {
  const bits = key.asymmetricKeyDetails?.modulusLength
  switch (key.asymmetricKeyType) {
    case 'rsa':
    case 'rsa-pss':
      return bits !== undefined && bits >= MIN_RSA_BITS
    case 'ec':
      return true
    default:
      return false
  }
}

const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----[^-]+-----END \1-----/g
const ACCEPTED = new Set(['PUBLIC KEY', 'RSA PUBLIC KEY', 'EC PUBLIC KEY', 'CERTIFICATE'])

/**
 * The public keys in a text of PEM blocks, as one block each. Undefined without any, or where one is something else,
 * unreadable or too weak. Of a certificate chain only the first is used.
 */
export function publicKeysIn(text: string): string[] | undefined {
  const keys: string[] = []
  let previous: X509Certificate | undefined
  // A truncated block is an error.
  if (text.split('-----BEGIN ').length !== [...text.matchAll(BLOCK)].length + 1) return undefined
  for (const [block, label = ''] of text.matchAll(BLOCK)) {
    if (!ACCEPTED.has(label)) return undefined
    try {
      const certificate: X509Certificate | undefined =
        label === 'CERTIFICATE' ? new X509Certificate(block) : undefined
      const key = certificate?.publicKey ?? createPublicKey(block)
      const hasIssued =
        previous !== undefined && certificate !== undefined && isIssuedBy(previous, certificate)
      previous = certificate
      if (hasIssued) continue
      if (!isStrongEnough(key)) return undefined
      keys.push(block)
    } catch {
      // A header without a valid key.
      return undefined
    }
  }
  return keys.length > 0 ? keys : undefined
}

/** A self-signed one is separate, also beside another of the same name. */
const isIssuedBy = (certificate: X509Certificate, issuer: X509Certificate): boolean =>
  certificate.fingerprint256 !== issuer.fingerprint256 && certificate.verify(issuer.publicKey)
