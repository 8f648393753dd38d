import { whatIsMissing } from './kit/capabilities.ts'
import { Deviation, NotApplicable, Unprepared } from './kit/expectations.ts'
import { Peer, type Target } from './kit/peer.ts'
import type { Row } from './kit/row.ts'

/** `cause` is the row that is not met, where that is why one is skipped. */
export type Outcome =
  | { outcome: 'passed' }
  | { outcome: 'failed'; reason: string }
  | { outcome: 'skipped'; reason: string; cause?: string }
export type Result = Outcome & { row: Row }

/** Rows that wait for something of the server's own give up before; this one ends what hangs. */
const ROW_TIMEOUT_MS = 40_000

/** Why a row does not apply; undefined when it does. */
function skipReason({ protocol, needs }: Row, { capabilities }: Target): string | undefined {
  if (protocol === 'tus' && !capabilities.hasTus) return 'OPTIONS announces no tus 1.0.0'
  if (protocol === 'ietf' && !capabilities.hasIetf) {
    const { otherInterop } = capabilities
    return otherInterop === undefined
      ? 'the server does not do the IETF draft'
      : `the server speaks interop version ${otherInterop} of the IETF draft: use --interop ${otherInterop}`
  }
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
    if (error instanceof Unprepared) {
      return { outcome: 'skipped', reason: error.message, cause: error.cause }
    }
    if (error instanceof NotApplicable) return { outcome: 'skipped', reason: error.message }
    return { outcome: 'failed', reason: error instanceof Error ? error.message : String(error) }
  } finally {
    clearTimeout(timer)
    await peer.close()
  }
}

/**
 * Runs rows one after the other, as a server may limit how many uploads are open, and each of them once. A row that
 * rests on one that is not met is skipped: what a server does otherwise counts once.
 */
export class Run {
  readonly #rows: ReadonlyMap<string, Row>
  readonly #target: Target
  readonly #outcomes = new Map<string, Outcome>()

  /** `all` are the rows that others may rest on, whether or not they are asked for. */
  constructor(all: readonly Row[], target: Target) {
    this.#rows = new Map(all.map((row) => [row.id, row]))
    this.#target = target
  }

  async resultsOf(rows: readonly Row[]): Promise<readonly Result[]> {
    const results: Result[] = []
    for (const row of rows) results.push({ row, ...(await this.#outcomeOf(row)) })
    return results
  }

  async #outcomeOf(row: Row): Promise<Outcome> {
    const outcome = this.#outcomes.get(row.id) ?? (await this.#run(row))
    this.#outcomes.set(row.id, outcome)
    return outcome
  }

  async #run(row: Row): Promise<Outcome> {
    const missing = skipReason(row, this.#target)
    if (missing !== undefined) return { outcome: 'skipped', reason: missing }
    for (const id of row.after) {
      const other = this.#rows.get(id)
      const cause = other && causeIn(id, await this.#outcomeOf(other))
      if (cause) return { outcome: 'skipped', reason: `it rests on ${cause}, which is not met`, cause }
    }
    return await runRow(row, this.#target)
  }
}

/** The row that others are skipped for when this one has come out so; undefined where they are not. */
function causeIn(id: string, outcome: Outcome): string | undefined {
  if (outcome.outcome === 'failed') return id
  return outcome.outcome === 'skipped' ? outcome.cause : undefined
}
