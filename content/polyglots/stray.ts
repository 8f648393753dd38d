import type { FileView } from './file-view.ts'

/** Bytes `[start, end)` of a file that its format has no use for. */
export type Stray = { start: number; end: number }
export type StrayFinder = (file: FileView) => AsyncIterable<Stray>
