import type { Append } from '../../storage/store/upload-store.ts'
import { type Commits, endsAt } from './commits.ts'
import { type Held, leaseOf, rowOf } from './held.ts'

export type AppendOptions = Pick<Append, 'offset' | 'bodyLength' | 'isAtomic' | 'received'> & {
  /** Whether the upload is complete with its last byte, as far as is known by now. */
  completes: () => boolean
  /** Called with offsets that the ledger has recorded, while the request goes on. */
  onCommitted: ((offset: number) => void) | undefined
}

/** The request that holds an upload, as a store sees it: bound to its lease and its row. */
export function appendOf(
  commits: Commits,
  held: Held,
  { completes, onCommitted, ...given }: AppendOptions,
): Append {
  return {
    ...given,
    upload: rowOf(held),
    lease: leaseOf(held),
    endsAt: (to) => endsAt(rowOf(held), to, completes()),
    inOwnerTurn: held.call.inOwnerTurn,
    async checkpoint(to, storedParts) {
      await commits.checkpoint(held, to, storedParts)
      onCommitted?.(to)
    },
    commit: (to, storedParts) => commits.commit(held, { to, completes: completes(), storedParts }),
    rejectContent: (error) => commits.rejectContent(held, error),
    rejectAsLost: () => commits.rejectAsLost(held),
  }
}
