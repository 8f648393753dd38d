import { type ConcatSource, concatSources } from '../../ledger/concatenation.ts'
import type { Ledger } from '../../ledger/database.ts'
import type { UploadId } from '../../ledger/ids.ts'
import type { Backend } from '../../ledger/storage-places.ts'
import type { RoutedUploadBytes } from './upload-bytes.ts'

/** The partial uploads of a final one, all in one backend: those in another are copied there first. */
export async function partialsIn(
  backend: Backend,
  sources: readonly ConcatSource[],
  { db, anywhere, finalId }: { db: Ledger; anywhere: RoutedUploadBytes; finalId: UploadId },
): Promise<readonly ConcatSource[]> {
  const elsewhere = sources.filter((source) => source.backend !== backend && source.size > 0)
  if (elsewhere.length === 0) return sources
  for (const { id } of elsewhere) await anywhere.bring(id, backend)
  return await concatSources(db, finalId)
}
