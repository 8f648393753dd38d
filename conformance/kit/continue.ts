import { expectThat, skip } from './expectations.ts'
import { orElse } from './waits.ts'
import type { Exchange } from './wire.ts'

const TIMEOUT_MS = 5000

/** RFC 9110 § 10.1.1: a client that expects it is told to go on, or answered at once; skips where it is answered. */
export async function expectContinue(exchange: Exchange): Promise<void> {
  const interim = await exchange.interimThat(({ status }) => status === 100, TIMEOUT_MS)
  if (interim) return
  const status = exchange.answer.then((answer) => answer.status)
  const answered = await orElse(status, 0, undefined)
  expectThat(answered !== undefined, `neither 100 (Continue) nor an answer within ${TIMEOUT_MS / 1000} s`)
  skip(`the server answered ${answered} instead of 100 (Continue)`)
}
