/** Whether all bytes of the input arrived: without network errors, after retries, or perhaps not. */
export type Delivery = 'sound' | 'healed' | 'broken'

export type ToolReport = {
  /** Messages about the file, without the input's address, which must not be logged. */
  complaints: string
  delivery: Delivery
}

/** ffmpeg reconnects after 0, 1, 3 and 7 seconds, and gives up where the next pause would be longer than this. */
export const RECONNECT_SECONDS = 8
const LAST_PAUSE_SECONDS = 7

/** How much of the end of the output is kept. */
export const COMPLAINT_CHARACTERS = 2_000

/** `[mov,mp4 @ 0x55d0] [error] text`, as `-v level+…` prints it; without context where the program itself writes. */
const LINE = /^(?:\[(?<context>[^\]]*?) @ [^\]]*\] )?\[(?<level>[a-z]+)\] (?<text>.*)$/
const NETWORK_CONTEXT = /^(https?|httpproxy|tcp|tls)$/
/** The program's last message about an input that it could not open or read. */
const NETWORK_END =
  /Server returned|Connection|Input\/output error|timed out|Network|Protocol not found|resolve/i
/** Messages before a retry; the last attempt has a message of its own. */
const HEALED = [
  /^Stream ends prematurely/,
  /^HTTP error 5\d\d/,
  /^Connection (to|attempt) /,
  new RegExp(`^Will reconnect at \\d+ in (?!${LAST_PAUSE_SECONDS} )\\d+ second`),
]
/** Damaged files make the tool ask for bytes past the end. */
const BEHIND_THE_END = /^HTTP error 416/
const IDLE_TALK = /^\s*(Last message repeated .*)?$/
const ADDRESS = /\b[a-z]+:\/\/\S+/gi

/**
 * Separates messages about a file at an HTTP address from those of the network layer: most demuxers take a failed read
 * for the end of the file, so that a storage fault looks like a damaged file. Expects the output of `-v level+warning`,
 * because HTTP errors are only warnings.
 */
export function readRemoteReport(stderr: string): ToolReport {
  const complaints: string[] = []
  let delivery = 'sound' as Delivery
  let before = 'error'
  for (const line of stderr.split('\n')) {
    // A line without a level continues the one before it.
    const { context, level = before, text = line } = LINE.exec(line)?.groups ?? {}
    before = level
    const isNetwork = context === undefined ? NETWORK_END.test(text) : NETWORK_CONTEXT.test(context)
    if (!isNetwork) {
      if (level !== 'warning' && !IDLE_TALK.test(text))
        complaints.push(context === undefined ? text : `[${context}] ${text}`)
    } else if (!BEHIND_THE_END.test(text)) {
      const isHealed = HEALED.some((pattern) => pattern.test(text))
      delivery = isHealed && delivery !== 'broken' ? 'healed' : 'broken'
    }
  }
  return { complaints: shorten(complaints.join('\n')), delivery }
}

/** The same for a local file, from the output of `-v error`. */
export function readLocalReport(stderr: string): ToolReport {
  return { complaints: shorten(stderr), delivery: 'sound' }
}

function shorten(said: string): string {
  return said
    .replaceAll(ADDRESS, '')
    .replaceAll(/\/\S+: /g, '')
    .replaceAll(/^:? +/gm, '')
    .trim()
    .slice(-COMPLAINT_CHARACTERS)
}
