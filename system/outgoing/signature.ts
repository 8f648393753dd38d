import type { Webhook } from 'standardwebhooks'

/** Standard Webhooks: one signature for each secret, so that a receiver can check the old or the new one. */
export function signedHeaders(
  signers: readonly Webhook[],
  id: string,
  payload: string,
): Record<string, string> {
  const now = new Date()
  return {
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(now.getTime() / 1000)),
    'webhook-signature': signers.map((signer) => signer.sign(id, now, payload)).join(' '),
  }
}
