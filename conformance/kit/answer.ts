/** What a server sends back: any number of interim responses (1xx), then the final one. */

export class AnswerHeaders {
  readonly #lines: readonly (readonly [name: string, value: string])[]

  constructor(lines: readonly (readonly [name: string, value: string])[]) {
    this.#lines = lines
  }

  /** Undefined without such a header; several of one name are one list, as RFC 9110 has it. */
  get(name: string): string | undefined {
    const values = this.#lines
      .filter(([known]) => known.toLowerCase() === name.toLowerCase())
      .map(([, value]) => value)
    return values.length === 0 ? undefined : values.join(', ')
  }

  /** In small letters, each once. */
  get names(): readonly string[] {
    return [...new Set(this.#lines.map(([name]) => name.toLowerCase()))]
  }

  /** Names of headers that stand there without a value. */
  get empty(): readonly string[] {
    return this.#lines.filter(([, value]) => value === '').map(([name]) => name)
  }
}

export type Interim = { status: number; headers: AnswerHeaders }
export type Answer = Interim & { body: Buffer; interim: readonly Interim[] }

/** What bytes hold so far; `final` when all of it is there. */
export type Received = { interim: readonly Interim[]; final: Answer | undefined }

/**
 * Reads what one request was answered, from its first byte. Answers are short, so it begins anew with every
 * read instead of keeping its place. Fails when the bytes are not HTTP/1.1.
 */
export function readAnswer(bytes: Buffer, method: string, hasEnded: boolean): Received {
  const interim: Interim[] = []
  let at = 0
  for (;;) {
    const end = bytes.indexOf('\r\n\r\n', at)
    if (end === -1) return { interim, final: undefined }
    const head = readHead(bytes.subarray(at, end).toString('latin1'))
    at = end + 4
    if (head.status < 200 && head.status !== 101) {
      interim.push(head)
      continue
    }
    const body = readBody(head, method, bytes.subarray(at), hasEnded)
    return { interim, final: body === undefined ? undefined : { ...head, body, interim } }
  }
}

function readHead(text: string): Interim {
  const [first = '', ...lines] = text.split('\r\n')
  const status = /^HTTP\/1\.[01] (\d{3})(?: |$)/.exec(first)?.[1]
  if (status === undefined) throw new Error(`not the first line of a response: "${first.slice(0, 100)}"`)
  const headers = lines.map((line) => {
    const [, name, value] = /^([!#$%&'*+\-.^`|~\w]+):[ \t]*(.*?)[ \t]*$/.exec(line) ?? []
    if (name === undefined || value === undefined) throw new Error(`not a header: "${line.slice(0, 100)}"`)
    return [name, value] as const
  })
  return { status: Number(status), headers: new AnswerHeaders(headers) }
}

/** Undefined while it is not all there (RFC 9112 § 6.3). */
function readBody(head: Interim, method: string, rest: Buffer, hasEnded: boolean): Buffer | undefined {
  if (method === 'HEAD' || head.status === 204 || head.status === 304) return Buffer.alloc(0)
  if (/(^|,\s*)chunked$/i.test(head.headers.get('Transfer-Encoding') ?? '')) return readChunks(rest)
  const length = head.headers.get('Content-Length')
  if (length === undefined) return hasEnded ? rest : undefined
  return rest.byteLength < Number(length) ? undefined : rest.subarray(0, Number(length))
}

function readChunks(rest: Buffer): Buffer | undefined {
  const chunks: Buffer[] = []
  let at = 0
  for (;;) {
    const end = rest.indexOf('\r\n', at)
    if (end === -1) return undefined
    const size = Number.parseInt(rest.subarray(at, end).toString('latin1'), 16)
    if (!Number.isSafeInteger(size)) throw new Error('not the size of a chunk')
    if (size === 0) return Buffer.concat(chunks)
    if (rest.byteLength < end + 2 + size + 2) return undefined
    chunks.push(rest.subarray(end + 2, end + 2 + size))
    at = end + 2 + size + 2
  }
}
