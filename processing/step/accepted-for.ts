import type { AcceptedTypes } from '../../content/accepted-types.ts'
import { limitsUnder } from '../../hooks/terms.ts'
import { declarationOf } from '../../ledger/media.ts'
import type { StepContext } from './step.ts'

/** The types that the file may have: those of the server, and of them those that its upload was permitted. */
export async function acceptedFor({
  db,
  media,
  accepted,
}: Pick<StepContext, 'db' | 'media' | 'accepted'>): Promise<AcceptedTypes> {
  const { terms } = await declarationOf(db, media.upload_id)
  return limitsUnder({ accepted }, terms).accepted
}
