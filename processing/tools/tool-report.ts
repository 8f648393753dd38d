/** How the bytes came: without a complaint of the network, with some that were made good, or perhaps not all of them. */
export type Delivery = 'sound' | 'healed' | 'broken'

export type ToolReport = {
  /** What the tool said of the file, without the input's address, which is not to be logged. */
  complaints: string
  delivery: Delivery
}

/** ffmpeg connects again after 0, 1, 3 and 7 seconds, and gives up where the next pause would be longer than this. */
export const RECONNECT_SECONDS = 8
const LAST_PAUSE_SECONDS = 7

/** No more of what was said is kept. */
export const COMPLAINT_CHARACTERS = 2_000

/** `[mov,mp4 @ 0x55d0] [error] text`, as `-v level+…` prints it; the context is missing where the program itself speaks. */
const LINE = /^(?:\[(?<context>[^\]]*?) @ [^\]]*\] )?\[(?<level>[a-z]+)\] (?<text>.*)$/
const NETWORK_CONTEXT = /^(https?|httpproxy|tcp|tls)$/
/** The program's last words about an input that it could not open or read. */
const NETWORK_END =
  /Server returned|Connection|Input\/output error|timed out|Network|Protocol not found|resolve/i
/** What is said on the way to the next attempt, which says so itself when it was the last one. */
const HEALED = [
  /^Stream ends prematurely/,
  /^HTTP error 5\d\d/,
  /^Connection (to|attempt) /,
  new RegExp(`^Will reconnect at \\d+ in (?!${LAST_PAUSE_SECONDS} )\\d+ second`),
]
/** Asking for bytes behind the end is what damaged files make the tool do. */
const BEHIND_THE_END = /^HTTP error 416/
const IDLE_TALK = /^\s*(Last message repeated .*)?$/
const ADDRESS = /\b[a-z]+:\/\/\S+/gi

/**
 * Tells what a tool said of a file at an HTTP address from what its network layer said: most demuxers take a
 * read that failed for the end of the file, so that a fault of the storage looks like a damaged file. Expects
 * the output of `-v level+warning`, because HTTP errors are only warnings to it.
 */
export function readRemoteReport(stderr: string): ToolReport {
  const complaints: string[] = []
  let delivery = 'sound' as Delivery
  let before = 'error'
  for (const line of stderr.split('\n')) {
    // One without a level goes on with what the line before it says.
    const { context, level = before, text = line } = LINE.exec(line)?.groups ?? {}
    before = level
    const isNetwork = context === undefined ? NETWORK_END.test(text) : NETWORK_CONTEXT.test(context)
    if (!isNetwork) {
      if (level !== 'warning' && !IDLE_TALK.test(text)) complaints.push(text)
    } else if (!BEHIND_THE_END.test(text)) {
      const isHealed = HEALED.some((pattern) => pattern.test(text))
      delivery = isHealed && delivery !== 'broken' ? 'healed' : 'broken'
    }
  }
  return { complaints: shorten(complaints.join('\n')), delivery }
}

/** The same of a file on this machine, from the output of `-v error`. */
export function readLocalReport(stderr: string): ToolReport {
  return { complaints: shorten(stderr), delivery: 'sound' }
}

/** The end of what was said. */
function shorten(said: string): string {
  return said
    .replaceAll(ADDRESS, '')
    .replaceAll(/\/\S+: /g, '')
    .replaceAll(/^:? +/gm, '')
    .trim()
    .slice(-COMPLAINT_CHARACTERS)
}
