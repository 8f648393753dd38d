import { UnreadableInput } from '../tools/tool-errors.ts'

/** Overwrites a part of the file with zeros. */
export type Blank = (position: number, bytes: number) => void

/** Blanks a configuration in place. Fails with `UnreadableInput` where it cannot be parsed. */
export type ConfigScrub = (config: Buffer) => void

/**
 * The same for a packet, whose size only its codec limits. Linear in the size; yields within each MiB, so that the
 * caller can let other work run.
 */
export type Scrub = (packet: Buffer) => Iterable<void>

/** The same for the packets of a stream in order; blanks parts of an earlier packet by their position in the file. */
export type PacketScrub = ((packet: Buffer, position: number, blank: Blank) => Iterable<void>) & {
  /** Called after the last packet. */
  end?: (blank: Blank) => void
}

/** Where a codec can carry data other than picture and sound, and how that is overwritten. */
export type CodecScrub = {
  /** The stream's configuration ("extradata", `CodecPrivate`). */
  config: ConfigScrub
  /** Starts a stream with this configuration. Undefined where packets cannot carry other data. */
  packets?: (config: Buffer) => PacketScrub
  /** The largest packet that is parsed; a longer one fails. */
  maxPacketBytes?: number
}

/** A frame of 8K video has a few MiB. */
export const MAX_PICTURE_BYTES = 64 * 1024 * 1024
/** Several frames of sound; one of 48 channels has 36 KiB. */
export const MAX_SOUND_BYTES = 256 * 1024

export const cannotFollow = (what: string): UnreadableInput =>
  new UnreadableInput(`${what} cannot be followed`)

/** A configuration of at most this many bytes carries nothing else. */
export const atMost =
  (most: number): ConfigScrub =>
  ({ length }) => {
    if (length > most) throw new UnreadableInput(`a configuration of ${length} bytes is more than is known`)
  }

/** Runs all of the work at once, for short inputs such as a configuration. */
export function atOnce(work: Iterable<void>): void {
  for (const _ of work);
}
