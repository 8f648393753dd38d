import type { Need } from './capabilities.ts'
import type { Clause } from './clause.ts'
import type { Peer } from './peer.ts'
import type { Interop, Protocol } from './protocols.ts'

/** One requirement of a standard on servers, and how to see from outside whether it is met. */
export type Row = {
  id: string
  protocol: Protocol
  /** What asks for it, and how strongly. */
  clause: Clause
  /** One sentence about the server. */
  requirement: string
  /** What the server has to offer for the requirement to apply. */
  needs: readonly Need[]
  /** Rows on which this one rests: where one of them is not met the cause is told there, and this row is skipped. */
  after: readonly string[]
  /** Resolves when it is met; fails with `Deviation` when it is not, with `NotApplicable` when nobody can tell. */
  check: (peer: Peer) => Promise<void>
}

/** By the interop versions of the IETF draft that ask for it. */
type ByVersion = Partial<Record<Interop, Clause>>

/** A row as its section writes it: `asks` is one clause where every version asks alike. */
export type Written = Pick<Row, 'id' | 'requirement' | 'check'> & {
  asks: Clause | ByVersion
  needs?: readonly Need[]
  after?: readonly string[]
}

/** A row for the version that is looked at; none where that version does not ask for it. */
export type Declared = { protocol: Protocol; rowFor: (interop: Interop) => Row | undefined }

/** The rows of a section; what the section needs, each of them needs. */
export function rowsOf(
  section: { protocol: Protocol; needs?: readonly Need[]; after?: readonly string[] },
  written: readonly Written[],
): readonly Declared[] {
  return written.map(({ asks, needs = [], after = [], ...row }) => ({
    protocol: section.protocol,
    rowFor: (interop) => {
      const clause = 'quote' in asks ? asks : asks[interop]
      if (clause === undefined) return undefined
      return {
        ...row,
        protocol: section.protocol,
        clause,
        needs: [...(section.needs ?? []), ...needs],
        after: [...(section.after ?? []), ...after],
      }
    },
  }))
}
