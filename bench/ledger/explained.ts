import { Kysely, PostgresDialect } from 'kysely'
import pg from 'pg'
import type { Ledger } from '../../ledger/database.ts'
import type { LedgerSchema } from '../../ledger/schema.ts'

/** A statement that was run, as the database tells of it. */
export type Statement = { text: string; ms: number; plan: string; scans: string[] }

const INT8_OID = 20
/** A sequential scan of fewer rows than this is none that anybody waits for. */
const FEW_ROWS = 20_000

/** A ledger of one connection whose statements are explained by the database as they run, whatever makes them. */
export function openExplained(connectionString: string): { db: Ledger; taken(): Statement[] } {
  let statements: Statement[] = []
  const types: pg.CustomTypesConfig = {
    getTypeParser: (oid, format) => (oid === INT8_OID ? Number : pg.types.getTypeParser(oid, format)),
  }
  const pool = new pg.Pool({
    connectionString,
    max: 1,
    types,
    // Loaded into every session: the plans of statements inside functions and triggers are not asked for.
    options: [
      'session_preload_libraries=auto_explain',
      'auto_explain.log_min_duration=0',
      'auto_explain.log_analyze=on',
      'auto_explain.log_timing=off',
      'auto_explain.log_format=text',
      'auto_explain.log_level=notice',
      'client_min_messages=notice',
    ]
      .map((setting) => `-c ${setting}`)
      .join(' '),
  })
  pool.on('connect', (client) => {
    client.on('notice', ({ message }) => {
      const found = /^duration: ([\d.]+) ms\s+plan:\nQuery Text: ([\s\S]*)$/.exec(message ?? '')
      if (!found?.[1] || !found[2]) return
      const at = found[2].search(/\n[^\n]*\(cost=/)
      const plan = found[2].slice(at + 1)
      const text = found[2].slice(0, at).replace(/\s+/g, ' ').trim()
      statements.push({ text, ms: Number(found[1]), plan, scans: largeScans(plan) })
    })
  })
  const db = new Kysely<LedgerSchema>({ dialect: new PostgresDialect({ pool }) })
  return {
    db,
    taken() {
      const taken = statements
      statements = []
      return taken
    },
  }
}

/** Tables that a plan reads from end to end: those of which that gave or dropped many rows. */
function largeScans(plan: string): string[] {
  const found: string[] = []
  const lines = plan.split('\n')
  for (const [index, line] of lines.entries()) {
    const scan = /Seq Scan on (\w+).*actual rows=([\d.]+) loops=(\d+)/.exec(line)
    if (!scan?.[1]) continue
    const removed = lines
      .slice(index + 1, index + 4)
      .map((next) => /Rows Removed by Filter: (\d+)/.exec(next)?.[1])
      .find((count) => count !== undefined)
    if ((Number(scan[2]) + Number(removed ?? 0)) * Number(scan[3]) > FEW_ROWS) found.push(scan[1])
  }
  return found
}

/** How a plan finds its rows: the nodes that read tables, each once. */
export function waysOf(plan: string): string[] {
  const ways =
    plan.match(/(Index Only Scan|Index Scan|Bitmap Index Scan|Seq Scan)[^(]*?(using|on) (\w+)/g) ?? []
  return [...new Set(ways.map((way) => way.replace(/ (using|on) /, ' ').replace(/ Backward/, '')))]
}
