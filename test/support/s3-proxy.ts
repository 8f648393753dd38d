import { Agent, createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { finished, Transform } from 'node:stream'
import { slowly } from './pauses.ts'
import { Random } from './random.ts'

export type S3Operation =
  | 'PutObject'
  | 'GetObject'
  | 'HeadObject'
  | 'DeleteObject'
  | 'DeleteObjects'
  | 'CopyObject'
  | 'CreateMultipartUpload'
  | 'UploadPart'
  | 'UploadPartCopy'
  | 'CompleteMultipartUpload'
  | 'AbortMultipartUpload'
  | 'ListParts'
  | 'ListMultipartUploads'
  | 'ListObjects'
  | 'HeadBucket'
  | 'Other'

/** One request, from its headers on. Times are those of `performance.now()`. */
export type S3Call = {
  operation: S3Operation
  method: string
  bucket: string
  /** Empty for calls of the bucket. */
  key: string
  partNumber?: number
  uploadId?: string
  /** What the gateway, or a refusal in its place, answered: also where a fault kept it from the client. */
  status?: number
  /** Of the bodies, as far as they came through the proxy. */
  bytesIn: number
  bytesOut: number
  startedAt: number
  /** Unset while it runs. */
  endedAt?: number
  /** The fault it ran into. */
  fault?: FaultKind
}

/**
 * - `refuse-500`, `refuse-503`: the whole body is read, then the client gets an error of S3 (InternalError, SlowDown);
 *   nothing is forwarded
 * - `reset-before`: connection reset, nothing forwarded
 * - `reset-after`: the gateway does it, the client gets a reset
 * - `missing-404`: the page of a proxy that knows no such address, and not the answer of S3; nothing is forwarded
 * - `nonsense-200`: the same as a success
 * - `stall`: not forwarded until the fault is stopped
 * - `late`: not forwarded until the fault is stopped, and then also for a client that has left; without its body
 * - `stall-after`: the gateway does it, the reply is withheld until the fault is stopped
 * - `truncate`: the reply breaks off in mid-body with a reset; without a body, a reset alone
 * - `slow`: both bodies pass at this rate
 * - `delay`: forwarded after this time
 */
export type Fault =
  | { what: PlainFault }
  | { what: 'slow'; bytesPerSecond: number }
  | { what: 'delay'; delayMs: number }

type PlainFault =
  | 'refuse-500'
  | 'refuse-503'
  | 'missing-404'
  | 'nonsense-200'
  | 'reset-before'
  | 'reset-after'
  | 'stall'
  | 'late'
  | 'stall-after'
  | 'truncate'

export type FaultKind = Fault['what']

/** Which calls a fault hits: those `when` says, the first `times` of them. */
export type FaultRule = Fault & { when: (call: S3Call) => boolean; times?: number }

export type RunningFault = {
  readonly hits: number
  /** Hits no further call; those it stalls go on. */
  stop(): void
}

export type RandomFaults = {
  seed: number
  /** Of each call that `when` says, to be hit. */
  probability: number
  /** Drawn from with equal chances. */
  kinds: readonly (PlainFault | Fault)[]
  when?: (call: S3Call) => boolean
}

/** The way to an S3 gateway, in the hands of a test. */
export type S3Proxy = {
  /** The endpoint for clients; buckets are addressed by path. */
  url: string
  /** In the order of their arrival. */
  calls: S3Call[]
  /** How many calls have arrived, of this operation or at all. */
  count(operation?: S3Operation): number
  /** Forgets the calls; faults stay. */
  reset(): void
  /** Of several faults that say a call is theirs, the one started first has it. */
  fail(rule: FaultRule): RunningFault
  /** Faults by chance. The draws repeat with the seed, call by call in the order of their arrival. */
  random(options: RandomFaults): RunningFault
  /** Calls that arrive from now on wait; those under way go on. */
  pause(): void
  resume(): void
  close(): Promise<void>
}

/** Listens on a loopback port and forwards to the gateway at `endpoint` (an http URL), bodies as they come. */
export async function startS3Proxy(endpoint: string): Promise<S3Proxy> {
  const calls: S3Call[] = []
  const faults: FaultSource[] = []
  const gate = new Gate()
  const gateway = new Gateway(endpoint)

  const serve = async (incoming: IncomingMessage, reply: ServerResponse) => {
    const call = describeCall(incoming)
    calls.push(call)
    incoming.on('error', () => {
      // The client is gone; `reply` closes as well.
    })
    finished(reply, () => {
      call.endedAt = performance.now()
    })
    // Drawn on arrival, so that the draws do not depend on how long others take.
    const hit = firstHit(faults, call)
    call.fault = hit?.fault.what
    await gate.passed()
    await new Exchange(gateway, call, incoming, reply, hit).run()
  }
  const server = createServer(serve)
  server.on('checkContinue', serve)
  // A client that pauses for longer than a default must not find its connection closed by us.
  server.keepAliveTimeout = 600_000
  server.requestTimeout = 0
  server.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port')

  const run = (source: FaultSource): RunningFault => {
    faults.push(source)
    return source
  }
  return {
    url: `http://127.0.0.1:${address.port}`,
    calls,
    count: (operation) =>
      operation === undefined ? calls.length : calls.filter((call) => call.operation === operation).length,
    reset() {
      calls.length = 0
    },
    fail({ when, times = Number.POSITIVE_INFINITY, ...fault }) {
      return run(new FaultSource((call, hits) => (hits < times && when(call) ? fault : undefined)))
    },
    random({ seed, probability, kinds, when = () => true }) {
      const random = new Random(seed)
      const draw = () => (random.chance(probability) ? asFault(random.pick(kinds)) : undefined)
      return run(new FaultSource((call) => (when(call) ? draw() : undefined)))
    },
    pause: () => gate.close(),
    resume: () => gate.open(),
    async close() {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      for (const source of faults) source.stop()
      gate.open()
      gateway.close()
      await closed
    },
  }
}

function asFault(kind: PlainFault | Fault): Fault {
  return typeof kind === 'string' ? { what: kind } : kind
}

function firstHit(faults: readonly FaultSource[], call: S3Call): Hit | undefined {
  for (const source of faults) {
    const hit = source.hit(call)
    if (hit) return hit
  }
  return undefined
}

/** Where some wait until it opens. */
class Gate {
  #isOpen = true
  #waiting: (() => void)[] = []

  close(): void {
    this.#isOpen = false
  }

  open(): void {
    this.#isOpen = true
    for (const goOn of this.#waiting.splice(0)) goOn()
  }

  async passed(): Promise<void> {
    if (!this.#isOpen) await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }
}

type Hit = { fault: Fault; stopped: Promise<void> }

/** A running fault: decides of each call whether it is hit, and holds those that are stalled. */
class FaultSource implements RunningFault {
  readonly #choose: (call: S3Call, hits: number) => Fault | undefined
  readonly #gate = new Gate()
  #isRunning = true
  hits = 0

  constructor(choose: (call: S3Call, hits: number) => Fault | undefined) {
    this.#choose = choose
    this.#gate.close()
  }

  hit(call: S3Call): Hit | undefined {
    const fault = this.#isRunning ? this.#choose(call, this.hits) : undefined
    if (!fault) return undefined
    this.hits++
    return { fault, stopped: this.#gate.passed() }
  }

  stop(): void {
    this.#isRunning = false
    this.#gate.open()
  }
}

/** Connections to the gateway, kept for the next call. */
class Gateway {
  readonly #host: string
  readonly #port: string
  // Shorter than the gateway keeps an idle connection, so that we never send into one that it is closing.
  readonly #agent = new Agent({ keepAlive: true, timeout: 20_000 })

  constructor(endpoint: string) {
    const { hostname, port } = new URL(endpoint)
    this.#host = hostname
    this.#port = port
  }

  /** The same request again, without its body. The headers, Host among them, are signed and stay as they are. */
  request(incoming: IncomingMessage) {
    const headers = withoutHeaders(incoming.rawHeaders, hopByHop)
    const has = (name: string) => incoming.headers[name] !== undefined
    if (!has('content-length') && !has('transfer-encoding')) headers.push('Content-Length', '0')
    return request({
      host: this.#host,
      port: this.#port,
      agent: this.#agent,
      method: incoming.method,
      path: incoming.url,
      headers,
    })
  }

  close(): void {
    this.#agent.destroy()
  }
}

/** Of one connection only. We answer `Expect` ourselves. */
const hopByHop = new Set(['connection', 'keep-alive', 'proxy-connection', 'expect'])
/** Node frames a reply of unknown length by itself. */
const hopByHopOfReplies = new Set([...hopByHop, 'transfer-encoding'])

function withoutHeaders(raw: readonly string[], names: ReadonlySet<string>): string[] {
  const kept: string[] = []
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const [name = '', value = ''] = raw.slice(at, at + 2)
    if (!names.has(name.toLowerCase())) kept.push(name, value)
  }
  return kept
}

const XML = 'application/xml'
const refusal = (code: string): string =>
  `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>refused by a test</Message></Error>`

/** One call on its way to the gateway and back. */
class Exchange {
  readonly #gateway: Gateway
  readonly #call: S3Call
  readonly #incoming: IncomingMessage
  readonly #reply: ServerResponse
  readonly #hit: Hit | undefined
  #isAnswered = false

  constructor(
    gateway: Gateway,
    call: S3Call,
    incoming: IncomingMessage,
    reply: ServerResponse,
    hit: Hit | undefined,
  ) {
    this.#gateway = gateway
    this.#call = call
    this.#incoming = incoming
    this.#reply = reply
    this.#hit = hit
  }

  async run(): Promise<void> {
    const { fault, stopped } = this.#hit ?? {}
    if (fault?.what === 'refuse-500') return this.#refuse(500, XML, refusal('InternalError'))
    if (fault?.what === 'refuse-503') return this.#refuse(503, XML, refusal('SlowDown'))
    if (fault?.what === 'missing-404') return this.#refuse(404, 'text/html', '<h1>Not Found</h1>')
    if (fault?.what === 'nonsense-200') return this.#refuse(200, 'text/html', '<h1>Welcome</h1>')
    if (fault?.what === 'reset-before') return this.#reset()
    if (fault?.what === 'stall' || fault?.what === 'late') await stopped
    if (fault?.what === 'delay') await slowly(fault.delayMs)
    // The client may have given up meanwhile.
    if (!this.#reply.destroyed) this.#forward()
    else if (fault?.what === 'late') this.#sendLate()
  }

  #forward(): void {
    const upstream = this.#gateway.request(this.#incoming)
    upstream.once('response', (answer) => this.#onAnswer(answer))
    upstream.on('error', () => {
      if (!this.#isAnswered) this.#reset()
    })
    this.#reply.once('close', () => {
      if (!this.#reply.writableFinished) upstream.destroy()
    })
    this.#readBody()
    this.#slowed(this.#incoming).pipe(upstream)
  }

  #sendLate(): void {
    const upstream = this.#gateway.request(this.#incoming)
    upstream.on('error', () => {
      // Nobody waits for it.
    })
    upstream.once('response', (answer) => {
      answer.resume().once('end', () => {
        this.#call.status = answer.statusCode
      })
    })
    upstream.end()
  }

  async #onAnswer(answer: IncomingMessage): Promise<void> {
    this.#isAnswered = true
    this.#call.status = answer.statusCode
    answer.on('error', () => this.#reset())
    const what = this.#hit?.fault.what
    if (what === 'reset-after') {
      answer.resume().once('end', () => this.#reset())
      return
    }
    if (what === 'stall-after') await this.#hit?.stopped
    if (this.#reply.destroyed) {
      answer.destroy()
      return
    }
    if (what === 'truncate') {
      await this.#passHalf(answer).catch(() => {
        // Either end of it broke earlier.
      })
      this.#reset()
    } else {
      this.#writeHead(answer)
      answer.on('data', (bytes: Buffer) => {
        this.#call.bytesOut += bytes.length
      })
      this.#slowed(answer).pipe(this.#reply)
    }
  }

  async #passHalf(answer: IncomingMessage): Promise<void> {
    const length = answer.headers['content-length']
    let left = length === undefined ? undefined : Math.floor(Number(length) / 2)
    for await (const chunk of answer) {
      // Of a body of unknown length, half of what comes first.
      left ??= Math.floor(chunk.length / 2)
      if (!this.#reply.headersSent) this.#writeHead(answer)
      const bytes: Buffer = chunk.subarray(0, left)
      left -= bytes.length
      this.#call.bytesOut += bytes.length
      await new Promise((resolve) => this.#reply.write(bytes, resolve))
      if (left === 0) break
    }
  }

  #writeHead(answer: IncomingMessage): void {
    this.#reply.sendDate = false
    const headers = withoutHeaders(answer.rawHeaders, hopByHopOfReplies)
    this.#reply.writeHead(answer.statusCode ?? 502, answer.statusMessage, headers)
  }

  /** After the whole body: a client that still sends when the reply comes may see a broken pipe instead of it. */
  #refuse(status: number, type: string, body: string): void {
    this.#call.status = status
    this.#readBody()
    this.#incoming.resume().once('end', () => {
      const headers = { 'Content-Type': type, 'Content-Length': Buffer.byteLength(body) }
      this.#reply.writeHead(status, headers).end(this.#call.method === 'HEAD' ? undefined : body)
    })
  }

  #readBody(): void {
    if (this.#incoming.headers.expect !== undefined) this.#reply.writeContinue()
    this.#incoming.on('data', (bytes: Buffer) => {
      this.#call.bytesIn += bytes.length
    })
  }

  #slowed(body: IncomingMessage): IncomingMessage | Throttle {
    const fault = this.#hit?.fault
    return fault?.what === 'slow' ? body.pipe(new Throttle(fault.bytesPerSecond)) : body
  }

  #reset(): void {
    this.#incoming.socket.resetAndDestroy()
  }
}

/** Lets bytes through at a rate, some twenty times a second. */
class Throttle extends Transform {
  readonly #bytesPerSecond: number
  #due = performance.now()

  constructor(bytesPerSecond: number) {
    super()
    this.#bytesPerSecond = bytesPerSecond
  }

  override async _transform(chunk: Buffer, _encoding: BufferEncoding, done: () => void): Promise<void> {
    const step = Math.max(1, Math.floor(this.#bytesPerSecond / 20))
    for (let at = 0; at < chunk.length && !this.destroyed; at += step) {
      const piece = chunk.subarray(at, at + step)
      const now = performance.now()
      this.#due = Math.max(this.#due, now) + (piece.length / this.#bytesPerSecond) * 1_000
      await slowly(this.#due - now)
      this.push(piece)
    }
    done()
  }
}

function describeCall(incoming: IncomingMessage): S3Call {
  const { pathname, searchParams } = new URL(incoming.url ?? '/', 'http://proxy')
  const [, bucket = '', ...rest] = pathname.split('/')
  const key = decodeURIComponent(rest.join('/'))
  const method = incoming.method ?? ''
  const partNumber = searchParams.get('partNumber')
  const isCopy = incoming.headers['x-amz-copy-source'] !== undefined
  return {
    operation:
      key === '' ? bucketOperation(method, searchParams) : objectOperation(method, searchParams, isCopy),
    method,
    bucket,
    key,
    partNumber: partNumber === null ? undefined : Number(partNumber),
    uploadId: searchParams.get('uploadId') ?? undefined,
    bytesIn: 0,
    bytesOut: 0,
    startedAt: performance.now(),
  }
}

/** Parts of an object or a bucket that calls of their own read and write; none of those is told apart. */
const subresources = [
  ...[
    'acl',
    'attributes',
    'cors',
    'encryption',
    'legal-hold',
    'lifecycle',
    'location',
    'object-lock',
    'policy',
  ],
  ...['restore', 'retention', 'select', 'tagging', 'torrent', 'versioning', 'versions'],
]

function objectOperation(method: string, query: URLSearchParams, isCopy: boolean): S3Operation {
  if (subresources.some((name) => query.has(name))) return 'Other'
  if (query.has('uploadId')) {
    if (method === 'PUT') return isCopy ? 'UploadPartCopy' : 'UploadPart'
    if (method === 'POST') return 'CompleteMultipartUpload'
    if (method === 'DELETE') return 'AbortMultipartUpload'
    return method === 'GET' ? 'ListParts' : 'Other'
  }
  if (method === 'PUT') return isCopy ? 'CopyObject' : 'PutObject'
  if (method === 'GET') return 'GetObject'
  if (method === 'HEAD') return 'HeadObject'
  if (method === 'DELETE') return 'DeleteObject'
  return method === 'POST' && query.has('uploads') ? 'CreateMultipartUpload' : 'Other'
}

function bucketOperation(method: string, query: URLSearchParams): S3Operation {
  if (subresources.some((name) => query.has(name))) return 'Other'
  if (method === 'GET') return query.has('uploads') ? 'ListMultipartUploads' : 'ListObjects'
  if (method === 'HEAD') return 'HeadBucket'
  return method === 'POST' && query.has('delete') ? 'DeleteObjects' : 'Other'
}
