import { UnreadableInput } from '../ffmpeg.ts'

/** Overwrites a part of the file with zeros. */
export type Blank = (position: number, bytes: number) => void

/** Overwrites bytes in place with what says nothing. Fails with `UnreadableInput` where it cannot follow them. */
export type Scrub = (bytes: Buffer) => void

/** The same of a stream's packets one after the other; of an earlier one by its position in the file. */
export type PacketScrub = ((packet: Buffer, position: number, blank: Blank) => void) & {
  /** Called behind the last packet. */
  end?: (blank: Blank) => void
}

/** Where a codec has room for what is neither picture nor sound, and how that is overwritten. */
export type CodecScrub = {
  /** Of the stream's configuration ("extradata", `CodecPrivate`). */
  config: Scrub
  /** Begins a stream with this configuration. Undefined where packets have no room for anything else. */
  packets?: (config: Buffer) => PacketScrub
}

export const cannotFollow = (what: string): UnreadableInput =>
  new UnreadableInput(`${what} cannot be followed`)

/** A configuration of so many bytes has room for nothing else. */
export const atMost =
  (most: number): Scrub =>
  ({ length }) => {
    if (length > most) throw new UnreadableInput(`a configuration of ${length} bytes is more than is known`)
  }
