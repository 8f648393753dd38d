import { COMPLAINT_CHARACTERS } from './tool-report.ts'

/** Messages of decoders about files that play well. */
const HARMLESS = [
  // About our use of the file.
  /monoton|Application provided|Timestamps are unset|Queue input is backward|deprecated/i,
  // Streams that were cut at a key frame which is not the first: earlier pictures refer to removed ones.
  /mmco: unref short failure|reference picture missing|Missing reference picture|co located POCs/i,
  /Could not find ref with POC|no frame!|number of reference frames/i,
  // Common in camera files.
  /SEI type \d+ size|overread|unable to decode APP fields|EOI missing/i,
  // Tags, or padding, between and after the frames of an MP3.
  /Header missing|invalid new backstep|invalid band type/i,
  // Follows from an earlier message.
  /^\s*(Last message repeated.*)?$/,
]

/** The first message of a decoder that shows damage; undefined when there is none. */
export function damageIn(complaints: string): string | undefined {
  const lines = complaints.split('\n')
  // Only the end of long output is kept, which may begin within a line.
  if (complaints.length >= COMPLAINT_CHARACTERS) lines.shift()
  const isIdle = (line: string) => HARMLESS.some((pattern) => pattern.test(line))
  return lines.find((line, index) => !isIdle(line) && !isFollowUp(lines, index, isIdle))
}

/** `Error while decoding stream #0:1: …` only refers to an earlier message. */
function isFollowUp(lines: readonly string[], index: number, isIdle: (line: string) => boolean): boolean {
  const before = lines[index - 1]
  return /^Error while decoding stream/.test(lines[index] ?? '') && before !== undefined && isIdle(before)
}
