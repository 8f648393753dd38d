import { atMost, type CodecScrub } from './scrub.ts'

/** An `OpusHead` says how many channels there are, and which is which (RFC 7845 § 5.1). */
export const opus = (): CodecScrub => ({
  config: (head) => atMost(head[18] === 0 ? 19 : 21 + (head[9] ?? 0))(head),
})
