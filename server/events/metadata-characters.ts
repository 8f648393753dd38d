import type { EventRow } from '../../ledger/events.ts'

/** Characters of the metadata that an event tells, beside which the rest of it is small. */
export function metadataCharacters({ described }: Pick<EventRow, 'described'>): number {
  let characters = 0
  for (const [key, value] of Object.entries(described.metadata))
    characters += key.length + (value?.length ?? 0)
  return characters
}
