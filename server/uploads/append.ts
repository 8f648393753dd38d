import type { Append } from '../../storage/store/upload-store.ts'
import { type Commits, endsAt } from './commits.ts'
import { type Held, leaseOf, rowOf } from './held.ts'

export type AppendOptions = Pick<Append, 'offset' | 'bodyLength' | 'isAtomic' | 'received'> & {
  /** Whether the upload is over with its last byte. */
  completes: boolean
  /** Told of bytes that the ledger has, while the request goes on. */
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
    endsAt: (to) => endsAt(rowOf(held), to, completes),
    inTurn: held.call.inTurn,
    async checkpoint(to, pieces) {
      await commits.checkpoint(held, to, pieces)
      onCommitted?.(to)
    },
    commit: (to, pieces) => commits.commit(held, { to, completes, pieces }),
    refuse: (refused) => commits.refuse(held, refused),
    lose: () => commits.lose(held),
  }
}
