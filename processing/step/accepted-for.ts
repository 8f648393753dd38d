import type { AcceptedTypes } from '../../content/accepted-types.ts'
import { limitsUnder } from '../../hooks/terms.ts'
import type { Ledger } from '../../ledger/database.ts'
import { declarationOf, type MediaRow } from '../../ledger/media.ts'

/** The types that a file may have: those of the server, and of them those that its upload was permitted. */
export async function acceptedFor(
  db: Ledger,
  media: Pick<MediaRow, 'upload_id'>,
  accepted: AcceptedTypes,
): Promise<AcceptedTypes> {
  const { terms } = await declarationOf(db, media.upload_id)
  return limitsUnder({ accepted }, terms).accepted
}
