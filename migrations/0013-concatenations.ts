import type { IndexChange } from './migration.ts'

/** Finds unassembled concatenations without reading their sources. */
export async function up(): Promise<void> {
  // Only an index.
}

export const indexes: readonly IndexChange[] = [
  { create: 'upload_concat_finals', on: 'landfall.upload_concat (final_id) where position = 0' },
]
