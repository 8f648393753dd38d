import { once } from 'node:events'
import { type IncomingMessage, type InformationEvent, request as plainRequest } from 'node:http'
import { request as secureRequest } from 'node:https'
import { buffer } from 'node:stream/consumers'
import { WebSocket } from 'ws'
import type { StreamEvent } from './event-reader.ts'
import { answerOf, type OpenPatch } from './raw-http.ts'
import type { Target } from './tus.ts'

/** A server as those outside know it: by an address that has a prefix and a port of a proxy. */
export type Site = Target & {
  /** PEM of the certificate to trust, for `https`. */
  certificate?: string
}

export type Seen = { url: URL; status: number; headers: IncomingMessage['headers']; bytes: Buffer }

export type Asked = {
  method?: string
  headers?: Record<string, string>
  body?: Uint8Array
  /** The user whose token goes with it. */
  sub?: string
}

/** The answer to a request for an absolute address, as it came: redirects are the caller's. */
export async function ask(site: Site, address: string | URL, asked: Asked = {}): Promise<Seen> {
  const url = new URL(address)
  const sent = open(site, url, asked)
  sent.end(asked.body)
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  return {
    url,
    status: response.statusCode ?? 0,
    headers: response.headers,
    bytes: await buffer(response),
  }
}

function open(site: Site, url: URL, { method = 'GET', headers, body, sub }: Asked) {
  const send = url.protocol === 'https:' ? secureRequest : plainRequest
  return send(url, {
    method,
    agent: false,
    ...(site.certificate === undefined ? {} : { ca: site.certificate }),
    headers: {
      ...(body ? { 'Content-Length': String(body.byteLength) } : {}),
      ...(sub === undefined ? {} : { Authorization: `Bearer ${site.token(sub)}` }),
      ...headers,
    },
  })
}

export type OpenRequest = Omit<OpenPatch, 'disconnect'> & {
  /** The first interim response (RFC 9110 § 15.2). */
  interim: Promise<InformationEvent>
}

/** A request whose body the test sends piece by piece. */
export function askSlowly(site: Site, address: string | URL, asked: Asked): OpenRequest {
  const sent = open(site, new URL(address), asked)
  const interim = new Promise<InformationEvent>((resolve) => sent.once('information', resolve))
  const answer = answerOf(sent)
  answer.catch(() => {})
  sent.flushHeaders()
  return {
    send: (bytes) =>
      new Promise<void>((resolve, reject) => {
        sent.write(bytes, (error) => (error ? reject(error) : resolve()))
      }),
    end: () => void sent.end(),
    answer,
    interim,
  }
}

/** What a stream has told so far, and how to leave it. */
export type Watched = { events: StreamEvent[]; leave(): void }

/** The owner's events over a WebSocket of a page of this origin, by a ticket as pages have it. */
export async function watchBySocket(site: Site, ticket: string, origin: string): Promise<Watched> {
  const socket = new WebSocket(`${site.url.replace(/^http/, 'ws')}/api/v1/events/ws?ticket=${ticket}`, {
    origin,
    ...(site.certificate === undefined ? {} : { ca: site.certificate }),
  })
  const events: StreamEvent[] = []
  socket.on('message', (text) => void events.push(JSON.parse(String(text))))
  await once(socket, 'open')
  return { events, leave: () => socket.terminate() }
}

/** The same as server-sent events. */
export async function watchBySse(site: Site, ticket: string): Promise<Watched> {
  const sent = open(site, new URL(`${site.url}/api/v1/events?ticket=${ticket}`), {})
  sent.on('error', () => {
    // The test has left.
  })
  sent.end()
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  if (response.statusCode !== 200) throw new Error(`the stream answered ${response.statusCode}`)
  const events: StreamEvent[] = []
  let text = ''
  response.setEncoding('utf8').on('data', (part: string) => {
    text += part
    const blocks = text.split('\n\n')
    text = blocks.pop() ?? ''
    for (const block of blocks) {
      const [, event] = /^event: (.*)$/m.exec(block) ?? []
      const [, data] = /^data: (.*)$/m.exec(block) ?? []
      if (event !== undefined && data !== undefined)
        events.push({ event, id: undefined, data: JSON.parse(data) })
    }
  })
  return { events, leave: () => sent.destroy() }
}

/** The links of a media item, of which some may be null. */
export type Links = Record<
  'thumbnailUrl' | 'storyboardUrl' | 'waveformUrl' | 'contentUrl' | 'hlsUrl',
  string | null
>

/**
 * Follows every link of a media item without a token, as a player does that has read it at `from`, and the links within
 * what they lead to. Returns all answers.
 */
export async function followLinks(site: Site, from: URL, links: Links): Promise<Seen[]> {
  const { thumbnailUrl, storyboardUrl, waveformUrl, contentUrl, hlsUrl } = links
  const seen: Seen[] = []
  const queue = [thumbnailUrl, storyboardUrl, waveformUrl, contentUrl, hlsUrl].map((link) => {
    if (link === null) throw new Error('the media item lacks a link')
    return new URL(link, from)
  })
  for (let url = queue.shift(); url !== undefined; url = queue.shift()) {
    const { href } = url
    if (seen.some((earlier) => earlier.url.href === href)) continue
    const answer = await ask(site, url)
    seen.push(answer)
    queue.push(...within(answer).map((link) => new URL(link, answer.url)))
  }
  return seen
}

/** The links in a playlist or in cues. */
function within({ headers, bytes }: Seen): string[] {
  const type = headers['content-type']?.split(';')[0] ?? ''
  if (type === 'text/vtt')
    return [...bytes.toString().matchAll(/^(\S+)#xywh=/gm)].map((match) => match[1] ?? '')
  if (type !== 'application/vnd.apple.mpegurl') return []
  const text = bytes.toString()
  const named = [...text.matchAll(/URI="([^"]+)"/g)].map((match) => match[1] ?? '')
  return [...named, ...text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))]
}
