import { COMPLAINT_CHARACTERS } from './tool-report.ts'

/** What decoders say of files that play well. */
const HARMLESS = [
  // Of what we do with the file, not of the file.
  /monoton|Application provided|Timestamps are unset|Queue input is backward|deprecated/i,
  // Streams that were cut at a key frame which is not the first: pictures before it refer to what is gone.
  /mmco: unref short failure|reference picture missing|Missing reference picture|co located POCs/i,
  /Could not find ref with POC|no frame!|number of reference frames/i,
  // Cameras write these.
  /SEI type \d+ size|overread|unable to decode APP fields|EOI missing/i,
  // Tags, or padding, between and behind the frames of an mp3.
  /Header missing|invalid new backstep|invalid band type/i,
  // A consequence of what was said before it.
  /^\s*(Last message repeated.*)?$/,
]

/** The first complaint of a decoder that tells of damage; undefined when there is none. */
export function damageIn(complaints: string): string | undefined {
  const lines = complaints.split('\n')
  // Only the end of much talk is kept, which may begin within a line.
  if (complaints.length >= COMPLAINT_CHARACTERS) lines.shift()
  const isIdle = (line: string) => HARMLESS.some((pattern) => pattern.test(line))
  return lines.find((line, index) => !isIdle(line) && !isFollowUp(lines, index, isIdle))
}

/** `Error while decoding stream #0:1: …` says only that the decoder has said something. */
function isFollowUp(lines: readonly string[], index: number, isIdle: (line: string) => boolean): boolean {
  const before = lines[index - 1]
  return /^Error while decoding stream/.test(lines[index] ?? '') && before !== undefined && isIdle(before)
}
