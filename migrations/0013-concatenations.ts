import type { IndexChange } from './migration.ts'

/** Finds the concatenations that are not one object yet, without reading what each of them is made of. */
export async function up(): Promise<void> {
  // An index is all there is to it.
}

export const indexes: readonly IndexChange[] = [
  { create: 'upload_concat_finals', on: 'landfall.upload_concat (final_id) where position = 0' },
]
