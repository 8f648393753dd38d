/** A request as it is drawn: before anybody knows which uploads there are. */

/** Uploads that requests are about, by the state in which each is at first. */
export const PLACES = [
  'open',
  'half',
  'complete',
  'terminated',
  'rejected',
  'deferred',
  'partial',
  'partial-done',
  'final-open',
  'other',
  'draft-open',
  'draft-half',
  'draft-complete',
  'unknown',
] as const
export type Place = (typeof PLACES)[number]

/**
 * What stands for something that is known only later: `{open}` for the id of the open upload, `{media}` for that of a
 * media, `{token}` for a good token, `{sha1}` for the base64 of that digest of the body.
 */
export type Template = string

export type HeaderLine = readonly [name: string, value: Template]

/** Each character is one byte. */
export type Latin1 = string

export type DrawnBody = {
  content: 'mp4' | 'png' | 'jpeg' | 'text' | 'zeros'
  bytes: number
  framing:
    | { kind: 'none' }
    | { kind: 'length' }
    /** The header is this much off from the truth. */
    | { kind: 'wrong-length'; by: number }
    | { kind: 'chunked'; chunk: number; trailers: readonly HeaderLine[] }
    /** The body is cut before its end. */
    | { kind: 'cut-chunks'; chunk: number; at: number }
    | { kind: 'broken-chunks'; size: Latin1 }
    | { kind: 'both' }
    | { kind: 'said'; headers: readonly HeaderLine[] }
}

export type DrawnRequest = {
  kind: 'request'
  method: string
  path: Template
  headers: readonly HeaderLine[]
  body: DrawnBody
  /** Pieces in which it is written. */
  pieces: number
  /** What the client does that has nothing more to say and no answer. */
  end: 'finish' | 'reset'
}

/** Bytes that need not be HTTP. */
export type DrawnBytes = { kind: 'bytes'; bytes: Latin1; pieces: number; end: 'finish' | 'reset' }

export type Drawn = DrawnRequest | DrawnBytes
