/** An answer as it stood on the wire. */
export type WireAnswer = {
  status: number
  /** In lower case; several of a name are joined by commas. */
  headers: ReadonlyMap<string, string>
  body: string
  /** False for one that goes on, or was cut off. */
  isWhole: boolean
}

/** What is on the wire is no answer. */
export class NoAnswer extends Error {}

/**
 * Reads the answers in what a connection has brought so far, interim ones included. `method` is that of the first
 * request. Throws `NoAnswer` where something else stands.
 */
export function readAnswers(bytes: Buffer, method: string | undefined, isClosed: boolean): WireAnswer[] {
  const answers: WireAnswer[] = []
  let isFirst = true
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf('\r\n\r\n', at)
    if (end < 0) {
      const rest = bytes.toString('latin1', at)
      if (!'HTTP/1.1'.startsWith(rest.slice(0, 8))) throw new NoAnswer(`there is ${JSON.stringify(rest)}`)
      return answers
    }
    const { status, headers } = readHead(bytes.toString('latin1', at, end))
    const isInterim = status < 200
    // What could not be read as a request is answered before its method is known; the connection ends with that.
    const isUnread = status >= 400 && !headers.has('x-request-id')
    const isToHead = isFirst && method === 'HEAD' && !isUnread
    const hasNoBody = isInterim || status === 204 || status === 304 || isToHead
    const body = hasNoBody ? EMPTY : readBody(bytes.subarray(end + 4), headers, isClosed)
    answers.push({ status, headers, body: body.text, isWhole: body.isWhole })
    if (!body.isWhole) return answers
    at = end + 4 + body.length
    if (!isInterim) isFirst = false
  }
  return answers
}

type Body = { text: string; length: number; isWhole: boolean }
const EMPTY: Body = { text: '', length: 0, isWhole: true }

function readHead(text: string): Pick<WireAnswer, 'status' | 'headers'> {
  const [first = '', ...lines] = text.split('\r\n')
  const status = /^HTTP\/1\.1 (\d{3}) /.exec(first)?.[1]
  if (status === undefined) throw new NoAnswer(`it begins with ${JSON.stringify(first.slice(0, 100))}`)
  const headers = new Map<string, string>()
  for (const line of lines) {
    const colon = line.indexOf(': ')
    const name = line.slice(0, colon).toLowerCase()
    if (!/^[a-z0-9-]+$/.test(name)) throw new NoAnswer(`a header is ${JSON.stringify(line)}`)
    const before = headers.get(name)
    headers.set(name, (before === undefined ? '' : `${before}, `) + line.slice(colon + 2))
  }
  return { status: Number(status), headers }
}

function readBody(bytes: Buffer, headers: ReadonlyMap<string, string>, isClosed: boolean): Body {
  if (headers.get('transfer-encoding') === 'chunked') return readChunks(bytes)
  const length = headers.get('content-length')
  if (length === undefined) return { text: bytes.toString(), length: bytes.length, isWhole: isClosed }
  const size = Number(length)
  return { text: bytes.toString('utf8', 0, size), length: size, isWhole: bytes.length >= size }
}

function readChunks(bytes: Buffer): Body {
  let text = ''
  for (let at = 0; ; ) {
    const lineEnd = bytes.indexOf('\r\n', at)
    const size = lineEnd < 0 ? Number.NaN : Number.parseInt(bytes.toString('latin1', at, lineEnd), 16)
    const end = lineEnd + 2 + size
    if (Number.isNaN(size) || bytes.length < end + 2) return { text, length: bytes.length, isWhole: false }
    text += bytes.toString('utf8', lineEnd + 2, end)
    at = end + 2
    if (size === 0) return { text, length: at, isWhole: true }
  }
}
