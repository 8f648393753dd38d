import type { Need } from './capabilities.ts'
import type { Peer } from './peer.ts'
import type { Interop, Protocol } from './protocols.ts'

/** How strongly the standard asks for it (RFC 2119). Only a MUST that fails is a failure of the run. */
export type Level = 'MUST' | 'SHOULD' | 'MAY'
/** One requirement of a standard on servers, and how to see from outside whether it is met. */
export type Row = {
  id: string
  protocol: Protocol
  section: string
  level: Level
  /** One sentence about the server. */
  requirement: string
  /** What the server has to offer for the requirement to apply. */
  needs: readonly Need[]
  /** IETF only: the versions that ask for it; both unless it says otherwise. */
  interop: readonly Interop[]
  /** Resolves when it is met; fails with `Deviation` when it is not, with `NotApplicable` when nobody can tell. */
  check: (peer: Peer) => Promise<void>
}

type Written = Pick<Row, 'id' | 'level' | 'requirement' | 'check'> & {
  needs?: readonly Need[]
  interop?: readonly Interop[]
}

/** The rows of a section; what the section needs, each of them needs. */
export function rowsOf(
  section: { protocol: Protocol; section: string; needs?: readonly Need[]; interop?: readonly Interop[] },
  written: readonly Written[],
): readonly Row[] {
  return written.map((row) => ({
    ...row,
    protocol: section.protocol,
    section: section.section,
    needs: [...(section.needs ?? []), ...(row.needs ?? [])],
    interop: row.interop ?? section.interop ?? [6, 8],
  }))
}
