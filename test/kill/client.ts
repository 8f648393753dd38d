import { slowly } from '../support/pauses.ts'
import type { ServerProcess } from '../support/server-process.ts'
import { metadataHeader } from '../support/tus.ts'
import type { MomentKind, PlannedUpload } from './plan.ts'
import { type Answer, ConnectionLost, sendRaw } from './raw-request.ts'

export type ClientOptions = {
  server: ServerProcess
  /** Resolves when the server is there, at once or after its restart. */
  available: () => Promise<void>
  onMoment: (kind: MomentKind) => void
  /** Told of bytes that a socket has taken. */
  onSent: (bytes: number) => void
  /** Told of every answer that a client has to put up with. */
  onRefusal: (what: string) => void
}

const OFFSET_STREAM = 'application/offset+octet-stream'
const LOCKED_RETRY_MS = 50

/**
 * A client that does not give up: after every failure it asks for the offset and goes on from there.
 * Fails when the server breaks its word: when an acknowledged byte is gone, or an answer is none that
 * a client would try again after.
 */
export async function sendStubbornly(plan: PlannedUpload, options: ClientOptions): Promise<string> {
  return await new Client(plan, options).run()
}

class Client {
  readonly #plan: PlannedUpload
  readonly #options: ClientOptions
  readonly #size: number
  /** The highest offset that the server has acknowledged with a 201, 204 or a HEAD. */
  #acknowledged = 0
  /** The highest byte that was ever on its way. */
  #highestSent = 0
  #sentInAll = 0
  #hasCut = false

  constructor(plan: PlannedUpload, options: ClientOptions) {
    this.#plan = plan
    this.#options = options
    this.#size = plan.bytes.length
  }

  async run(): Promise<string> {
    const id = await this.#create()
    let offset: number | undefined
    while (this.#acknowledged < this.#size || offset === undefined) {
      const at = offset
      offset = await this.#retrying(() => (at === undefined ? this.#head(id) : this.#patch(id, at)))
    }
    return id
  }

  /** Undefined when it failed in a way that another attempt, after a look at the offset, may mend. */
  async #retrying<T>(attempt: () => Promise<T | undefined>): Promise<T | undefined> {
    await this.#options.available()
    try {
      return await attempt()
    } catch (error) {
      if (!(error instanceof ConnectionLost)) throw error
      return undefined
    }
  }

  async #create(): Promise<string> {
    for (;;) {
      const id = (await this.#retrying(() => this.#post())) ?? (await this.#findCreated())
      if (id !== undefined) return id
    }
  }

  /** An upload whose creation was never answered is found among the open ones; undefined when it is not there. */
  async #findCreated(): Promise<string | undefined> {
    for (;;) {
      const items = await this.#retrying(() => this.#listOpen())
      if (items) return items.find((item) => item.filename === this.#plan.name)?.id
    }
  }

  async #post(): Promise<string | undefined> {
    const { name, contentType, bytesWithCreation: bytes } = this.#plan
    const answer = await this.#send('POST', '/files', {
      headers: {
        'Upload-Length': String(this.#size),
        'Upload-Metadata': metadataHeader({ filename: name, filetype: contentType }),
        ...(bytes > 0 ? { 'Content-Type': OFFSET_STREAM } : {}),
      },
      ...(bytes > 0 ? { from: 0, to: bytes } : {}),
    })
    if (answer.status !== 201) return this.#refused('POST', answer)
    if (bytes > 0) this.#acknowledge(Number(answer.headers['upload-offset']), bytes)
    this.#options.onMoment('created')
    return answer.headers.location?.split('/').at(-1)
  }

  async #listOpen(): Promise<{ id: string; filename: string }[] | undefined> {
    const answer = await this.#send('GET', '/api/v1/uploads?state=open', {})
    if (answer.status !== 200) return this.#refused('GET', answer)
    const { items }: { items: { id: string; filename: string }[] } = JSON.parse(answer.text)
    return items
  }

  async #head(id: string): Promise<number | undefined> {
    const answer = await this.#send('HEAD', `/files/${id}`, {})
    if (answer.status !== 200) return this.#refused('HEAD', answer)
    if (answer.headers['upload-length'] !== String(this.#size)) throw this.#broken('HEAD gave another length')
    return this.#acknowledge(Number(answer.headers['upload-offset']))
  }

  async #patch(id: string, offset: number): Promise<number | undefined> {
    const to = Math.min(this.#size, offset + this.#plan.chunkBytes)
    const isLast = to === this.#size
    if (isLast) this.#options.onMoment('before-last-patch')
    const answer = await this.#send('PATCH', `/files/${id}`, {
      headers: { 'Upload-Offset': String(offset), 'Content-Type': OFFSET_STREAM },
      from: offset,
      to,
      onAllSent: () => isLast && this.#options.onMoment('last-patch-sent'),
    })
    if (answer.status !== 204) return this.#refused('PATCH', answer)
    this.#acknowledge(Number(answer.headers['upload-offset']), to)
    if (isLast) this.#options.onMoment('last-patch-acknowledged')
    return to
  }

  /** Holds an offset against everything known before. */
  #acknowledge(offset: number, expected = offset): number {
    if (offset !== expected) throw this.#broken(`was told ${offset} where ${expected} had been sent`)
    if (!(offset >= this.#acknowledged)) throw this.#broken(`fell back to ${offset}`)
    if (offset > this.#highestSent) throw this.#broken(`has ${offset}, more than was ever sent`)
    this.#acknowledged = offset
    return offset
  }

  async #refused(method: string, answer: Answer): Promise<undefined> {
    // Bytes on a connection that was cut can be stored after the HEAD that followed it on another.
    const mayConflict = method === 'PATCH' && this.#hasCut
    if (answer.status !== 423 && !(answer.status === 409 && mayConflict)) {
      throw this.#broken(`answered ${method} with ${answer.status} ${answer.text}`)
    }
    this.#options.onRefusal(`${method} answered with ${answer.status}`)
    await slowly(LOCKED_RETRY_MS)
  }

  #broken(what: string): Error {
    return new Error(
      `${this.#plan.name} of ${this.#plan.owner} (${this.#size} bytes, ${this.#acknowledged} acknowledged, ${this.#highestSent} sent): the server ${what}`,
    )
  }

  async #send(
    method: string,
    path: string,
    request: { headers?: Record<string, string>; from?: number; to?: number; onAllSent?: () => void },
  ): Promise<Answer> {
    const { server, onSent } = this.#options
    const { bytes, owner, pieceBytes, hasContentLength, cutAtByte = Number.POSITIVE_INFINITY } = this.#plan
    const { from = 0, to = 0, onAllSent } = request
    let at = from
    return await sendRaw({
      url: server.url + path,
      method,
      headers: {
        Authorization: `Bearer ${server.token(owner)}`,
        'Tus-Resumable': '1.0.0',
        ...(hasContentLength && to > from ? { 'Content-Length': String(to - from) } : {}),
        ...request.headers,
      },
      body: bytes.subarray(from, to),
      pieceBytes,
      onSent: (count) => {
        at += count
        this.#sentInAll += count
        this.#highestSent = Math.max(this.#highestSent, at)
        onSent(count)
        // Not in a creation: the look for what it made could come before it has made anything.
        if (!this.#hasCut && method === 'PATCH' && this.#sentInAll >= cutAtByte) {
          this.#hasCut = true
          throw new Error('cut by the client')
        }
        if (at === to) onAllSent?.()
      },
    })
  }
}
