import { Webhook } from 'standardwebhooks'
import { send } from '../../system/outgoing/sender.ts'
import { signedHeaders } from '../../system/outgoing/signature.ts'
import type { HookSource } from './own-hooks.ts'

const MAX_ANSWER_BYTES = 64 * 1024

/**
 * Asks by a signed POST (Standard Webhooks). The answer is 200 with a decision as JSON, or 204 for none. Any other is a
 * failure: a program that is broken must not be taken for one that decides.
 */
export function httpSource({
  url,
  secrets,
  timeoutMs,
}: {
  url: string
  secrets: readonly string[]
  timeoutMs: number
}): HookSource {
  const signers = secrets.map((secret) => new Webhook(secret))
  return {
    name: 'HOOK_URL',
    async ask({ hook, id, data }, signal) {
      const body = JSON.stringify({ type: hook, timestamp: new Date().toISOString(), data })
      const answer = await send(
        { url: new URL(url), headers: signedHeaders(signers, id, body), body },
        // Configured by the operator, and often on the same host.
        {
          allowPrivate: true,
          timeoutMs,
          signal,
          maxBodyBytes: MAX_ANSWER_BYTES,
          maxBodyMs: timeoutMs,
        },
      )
      if (answer.error !== null) throw new Error(`the hook ${answer.error}`)
      if (answer.body === undefined) throw new Error('the answer of the hook is too large or incomplete')
      const text = answer.body.toString('utf8').trim()
      return text === '' ? undefined : JSON.parse(text)
    },
  }
}
