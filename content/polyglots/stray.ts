import type { FileView } from './file-view.ts'

/** Bytes `[start, end)` of a file that its format does not use. */
export type Stray = { start: number; end: number }
export type StrayFinder = (file: FileView) => AsyncIterable<Stray>
