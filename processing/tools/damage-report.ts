import { COMPLAINT_CHARACTERS } from './tool-report.ts'

// What counts as damage of a file, by the messages of ffmpeg and ffprobe, for every step.

/** Codecs of the streams that a message may be about; null or undefined where there is none. */
export type PlayedCodecs = { picture?: string | null | undefined; sound?: string | null | undefined }

/** ffprobe's messages, with exit code 0, when bytes are missing. */
const MISSING =
  /partial file|ended prematurely|truncat|invalid data found|moov atom not found|error reading|corrupt/i

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
  // A last sample of uncompressed sound that is not whole.
  /Invalid PCM packet, data has size/i,
  // Follows from an earlier message.
  /^\s*(Last message repeated.*)?$/,
]

/** Decoders of still pictures begin their messages with their name. */
const STILL = /^\[(mjpeg|png|apng|gif|bmp|tiff|webp|jpeg2000|jpegls)\b/
/** It only refers to an earlier message, if there was one. */
const FOLLOW_UP = /^Error while decoding stream/

/** The first message of ffprobe that shows that bytes are missing; undefined when there is none. */
export function missingIn(complaints: string, played: PlayedCodecs): string | undefined {
  return linesAbout(complaints, played).find((line) => MISSING.test(line))
}

/** The first message of a decoder that shows damage; undefined when there is none. */
export function damageIn(complaints: string, played: PlayedCodecs): string | undefined {
  const lines = linesAbout(complaints, played)
  const isIdle = (line: string) => HARMLESS.some((pattern) => pattern.test(line))
  return lines.find((line, index) => {
    if (isIdle(line)) return false
    const before = lines[index - 1]
    // The decoder of MP3 says nothing about padding behind the last frame.
    const isOfIdle = before === undefined ? played.sound === 'mp3' : isIdle(before)
    return !(FOLLOW_UP.test(line) && isOfIdle)
  })
}

/** Without messages about covers, which nobody plays; of long output, of which only the end is kept, whole lines. */
function linesAbout(complaints: string, { picture }: PlayedCodecs): string[] {
  const lines = complaints.split('\n')
  if (complaints.length >= COMPLAINT_CHARACTERS) lines.shift()
  return lines.filter((line) => {
    const still = STILL.exec(line)?.[1]
    return still === undefined || still === picture
  })
}
