import { createPublicKey, type KeyObject, X509Certificate } from 'node:crypto'

/** NIST SP 800-131A: shorter RSA keys can be broken, and then anybody signs tokens for anyone. */
export const MIN_RSA_BITS = 2048

/** Whether a key can belong to an accepted algorithm and is strong enough. */
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
 * The public keys in a text of PEM blocks, each as a block of its own. Undefined where one of them is something else, cannot be
 * read or is too weak, and where there is none. Of a chain of certificates only the first is a key for tokens.
 */
export function publicKeysIn(text: string): string[] | undefined {
  const keys: string[] = []
  let previous: X509Certificate | undefined
  // A block that is cut off is an error, and not something between blocks.
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
      // A header with something else behind it.
      return undefined
    }
  }
  return keys.length > 0 ? keys : undefined
}

/** One that signs itself is a key of its own, also beside another of the same name. */
const isIssuedBy = (certificate: X509Certificate, issuer: X509Certificate): boolean =>
  certificate.fingerprint256 !== issuer.fingerprint256 && certificate.verify(issuer.publicKey)
