export type Protocol = 'tus' | 'ietf'
/** Versions of the IETF draft: 6 is draft-05, which clients in the field speak; 8 is draft-12, the newest. */
export type Interop = 6 | 8
export const INTEROPS: readonly Interop[] = [6, 8]
