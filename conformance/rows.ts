import { ietfRows } from './ietf/rows.ts'
import type { Interop } from './kit/protocols.ts'
import type { Row } from './kit/row.ts'
import { tusRows } from './tus/rows.ts'

const inTheOrderOfTheDraft = (one: Row, other: Row) =>
  one.clause.section.localeCompare(other.clause.section, 'en', { numeric: true })

/** Every row that tus 1.0, and this interop version of the IETF draft, ask for. */
export function rowsFor(interop: Interop): readonly Row[] {
  const [tus, ietf] = [tusRows, ietfRows].map((declared) =>
    declared.flatMap(({ rowFor }) => rowFor(interop) ?? []),
  )
  return [...(tus ?? []), ...(ietf ?? []).toSorted(inTheOrderOfTheDraft)]
}
