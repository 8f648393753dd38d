import { type Capabilities, whatIsMissing } from './kit/capabilities.ts'
import { Deviation, NotApplicable } from './kit/expectations.ts'
import { Peer, type Target } from './kit/peer.ts'
import type { Row } from './kit/row.ts'

export type Outcome = { outcome: 'passed' } | { outcome: 'failed' | 'skipped'; reason: string }
export type Result = Outcome & { row: Row }

/** Rows that wait for something of the server's own give up before; this one ends what hangs. */
const ROW_TIMEOUT_MS = 40_000

/** Why a row does not apply; undefined when it does. */
function skipReason({ protocol, needs, interop }: Row, target: Target): string | undefined {
  const { capabilities } = target
  if (protocol === 'tus' && !capabilities.hasTus) return 'OPTIONS announces no tus 1.0.0'
  if (protocol === 'ietf' && !capabilities.hasIetf) return 'the server does not do the IETF draft'
  if (protocol === 'ietf' && !interop.includes(target.interop)) {
    return `interop version ${target.interop} does not ask for it`
  }
  return firstMissing(needs, capabilities)
}

function firstMissing(needs: Row['needs'], capabilities: Capabilities): string | undefined {
  return needs.map((need) => whatIsMissing(need, capabilities)).find((missing) => missing !== undefined)
}

/** Runs one row on connections and uploads of its own, which are gone when it resolves. */
export async function runRow(row: Row, target: Target): Promise<Outcome> {
  const missing = skipReason(row, target)
  if (missing !== undefined) return { outcome: 'skipped', reason: missing }
  const peer = new Peer(target, row.protocol)
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<never>((_resolve, reject) => {
    const late = new Deviation(`nothing came of it within ${ROW_TIMEOUT_MS / 1000} s`)
    timer = setTimeout(() => reject(late), ROW_TIMEOUT_MS)
  })
  try {
    await Promise.race([row.check(peer), timeout])
    return { outcome: 'passed' }
  } catch (error) {
    if (error instanceof NotApplicable) return { outcome: 'skipped', reason: error.message }
    return { outcome: 'failed', reason: error instanceof Error ? error.message : String(error) }
  } finally {
    clearTimeout(timer)
    await peer.close()
  }
}

/** Runs rows one after the other: a server may limit how many uploads are open. */
export async function run(rows: readonly Row[], target: Target): Promise<readonly Result[]> {
  const results: Result[] = []
  for (const row of rows) results.push({ row, ...(await runRow(row, target)) })
  return results
}
