import { openDatabase } from '../ledger/database.ts'
import { MAINTENANCE_DEADLINES } from '../ledger/deadlines.ts'
import { miscountedOwners, type Recount, recountOwner } from '../ledger/recounting.ts'
import { type Command, done } from './command.ts'
import { withLedger } from './with-ledger.ts'

/** Recounts the usage of owners from the rows of the ledger; safe while servers run. */
export const command: Command = {
  usage: '',
  details: ['Prints the owners whose counters were wrong. Servers may keep running.'],
  run: ({ env }) =>
    withLedger(env, 'recount', async ({ db, connectionString, onError, releasers }) => {
      // One statement reads the whole ledger, on a connection of its own.
      const reading = openDatabase({
        connectionString,
        maxConnections: 1,
        applicationName: 'landfall-recount',
        onPoolError: onError,
        deadlines: MAINTENANCE_DEADLINES,
      })
      releasers.add('database for reading', () => reading.destroy())
      const corrected: Recount[] = []
      for (const ownerId of await miscountedOwners(reading)) corrected.push(await recountOwner(db, ownerId))
      return done([...corrected.map(sentence), `owners corrected: ${corrected.length}`], { corrected })
    }),
}

function sentence({ ownerId, tenantId, before, after }: Recount): string {
  const changes = (Object.keys(after) as (keyof typeof after)[])
    .filter((name) => before[name] !== after[name])
    .map((name) => `${name} ${before[name]} -> ${after[name]}`)
  const owner = tenantId === null ? ownerId : `${ownerId} of ${tenantId}`
  return `${owner}: ${changes.join(', ') || 'already correct'}`
}
