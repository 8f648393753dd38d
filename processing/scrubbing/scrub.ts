import { UnreadableInput } from '../tools/tool-errors.ts'

/** Overwrites a part of the file with zeros. */
export type Blank = (position: number, bytes: number) => void

/** Overwrites a configuration in place with what says nothing. Fails with `UnreadableInput` where it cannot follow it. */
export type ConfigScrub = (config: Buffer) => void

/**
 * The same of a packet, whose size is bounded by its codec alone. Its work grows with the size and no faster, and it yields
 * within each MiB of it, so that the caller can let others have their turn.
 */
export type Scrub = (packet: Buffer) => Iterable<void>

/** The same of a stream's packets one after the other; of an earlier one by its position in the file. */
export type PacketScrub = ((packet: Buffer, position: number, blank: Blank) => Iterable<void>) & {
  /** Called behind the last packet. */
  end?: (blank: Blank) => void
}

/** Where a codec has room for what is neither picture nor sound, and how that is overwritten. */
export type CodecScrub = {
  /** Of the stream's configuration ("extradata", `CodecPrivate`). */
  config: ConfigScrub
  /** Begins a stream with this configuration. Undefined where packets have no room for anything else. */
  packets?: (config: Buffer) => PacketScrub
  /** Bytes of the largest packet that is looked at; a longer one cannot be followed. */
  maxPacketBytes?: number
}

/** A frame of a film of 8K has a few MiB. */
export const MAX_PICTURE_BYTES = 64 * 1024 * 1024
/** Some frames of sound; one of 48 channels has 36 KiB. */
export const MAX_SOUND_BYTES = 256 * 1024

export const cannotFollow = (what: string): UnreadableInput =>
  new UnreadableInput(`${what} cannot be followed`)

/** A configuration of so many bytes has room for nothing else. */
export const atMost =
  (most: number): ConfigScrub =>
  ({ length }) => {
    if (length > most) throw new UnreadableInput(`a configuration of ${length} bytes is more than is known`)
  }

/** Does all of the work at once, which is right for what is short, such as a configuration. */
export function atOnce(work: Iterable<void>): void {
  for (const _ of work);
}
