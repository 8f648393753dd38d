import { atMost, type CodecScrub } from './scrub.ts'

/** An `OpusHead` declares the number of channels and their order (RFC 7845 § 5.1). */
export const opus = (): CodecScrub => ({
  config: (head) => atMost(head[18] === 0 ? 19 : 21 + (head[9] ?? 0))(head),
})
