import { type IncomingMessage, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { AddressRefused, publicLookup, refusePrivateLiteral } from '../addresses.ts'
import { parseRetryAfter } from './retry-after.ts'

export type Message = {
  url: URL
  headers: Readonly<Record<string, string>>
  body: string
}

export type SendOptions = {
  /** Whether addresses that are not public may be connected to. */
  allowPrivate: boolean
  /** From the lookup of the name to the answer. */
  timeoutMs: number
  /** Aborted when the worker stops. */
  signal: AbortSignal
  /** Limits for reading the response body; the defaults only let the connection end cleanly. */
  maxBodyBytes?: number
  maxBodyMs?: number
}

export type Answer = {
  /** Null where there was no response. */
  status: number | null
  /** Safe to show to anybody; null for a 2xx. */
  error: string | null
  retryAfterMs: number | undefined
  /** Undefined where the body was larger than the limit. */
  body: Buffer | undefined
}

const MAX_BODY_BYTES = 4096
const MAX_BODY_MS = 1000

/**
 * Posts a message on a connection of its own. A redirect is a response like any other. Throws only when `signal` is
 * aborted.
 */
export async function send(message: Message, options: SendOptions): Promise<Answer> {
  const timeout = AbortSignal.timeout(options.timeoutMs)
  try {
    const response = await post(message, options, AbortSignal.any([timeout, options.signal]))
    const status = response.statusCode ?? 0
    const body = await readLittle(response, options)
    return {
      status,
      error: status >= 200 && status < 300 ? null : describeStatus(status),
      retryAfterMs:
        status === 429 || status === 503 ? parseRetryAfter(response.headers['retry-after']) : undefined,
      body,
    }
  } catch (error) {
    options.signal.throwIfAborted()
    const text = timeout.aborted ? 'no answer in time' : describeFailure(error)
    return { status: null, error: text, retryAfterMs: undefined, body: undefined }
  }
}

async function post(
  { url, headers, body }: Message,
  { allowPrivate }: SendOptions,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  if (!allowPrivate) refusePrivateLiteral(url)
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  const request = (url.protocol === 'https:' ? requestHttps : requestHttp)(url, {
    method: 'POST',
    headers: {
      'Content-Type': 'application/json',
      'Content-Length': String(Buffer.byteLength(body)),
      'User-Agent': 'Landfall/1',
      ...headers,
    },
    // No pool: a connection was checked for one host name, and an old one may be stale.
    agent: false,
    signal,
    ...(allowPrivate ? {} : { lookup: publicLookup() }),
  })
  request.once('response', resolve)
  request.on('error', reject)
  request.once('close', () => reject(new Error('closed without an answer')))
  request.end(body)
  return await promise
}

/** Reads the body up to its end or its limit, and closes the connection. */
async function readLittle(
  response: IncomingMessage,
  { maxBodyBytes = MAX_BODY_BYTES, maxBodyMs = MAX_BODY_MS }: SendOptions,
): Promise<Buffer | undefined> {
  const { promise, resolve } = Promise.withResolvers<Buffer | undefined>()
  const giveUp = () => resolve(undefined)
  const timer = setTimeout(giveUp, maxBodyMs)
  const chunks: Buffer[] = []
  let bytes = 0
  response.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > maxBodyBytes) giveUp()
    else chunks.push(chunk)
  })
  response.once('end', () => resolve(Buffer.concat(chunks)))
  // The status is known: later errors do not change it.
  response.on('error', giveUp)
  response.once('close', giveUp)
  const body = await promise
  clearTimeout(timer)
  response.destroy()
  return body
}

function describeStatus(status: number): string {
  return status >= 300 && status < 400
    ? `answered ${status}; redirects are not followed`
    : `answered ${status}`
}

/** Only the code of a failure: its message may contain internal addresses. */
function describeFailure(error: unknown): string {
  if (error instanceof AddressRefused) return error.message
  const code = error instanceof Error && 'code' in error ? String(error.code) : undefined
  return code === undefined ? 'the connection failed' : `the connection failed (${code})`
}
