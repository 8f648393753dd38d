import type { Target } from './tus.ts'

export type StreamEvent = {
  event: string
  id: string | undefined
  // biome-ignore lint/suspicious/noExplicitAny: whatever the server sent, which is what tests look at
  data: any
}

/** Events of an upload's stream as they come, until the server ends it or the caller stops reading. */
export async function* readEvents(
  target: Target,
  sub: string,
  uploadId: string,
  options: { lastEventId?: string } = {},
): AsyncGenerator<StreamEvent> {
  const { lastEventId } = options
  yield* readStream(`${target.url}/api/v1/uploads/${uploadId}/events`, {
    Authorization: `Bearer ${target.token(sub)}`,
    ...(lastEventId === undefined ? {} : { 'Last-Event-ID': lastEventId }),
  })
}

/** The same of any stream. It has begun when `onOpen` is called. */
export async function* readStream(
  url: string,
  headers: Record<string, string>,
  onOpen: () => void = () => {},
): AsyncGenerator<StreamEvent> {
  const stop = new AbortController()
  const response = await fetch(url, { headers, signal: stop.signal })
  if (response.status !== 200 || !response.body) throw new Error(`the stream answered ${response.status}`)
  onOpen()
  try {
    let text = ''
    for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
      text += chunk
      const blocks = text.split('\n\n')
      text = blocks.pop() ?? ''
      for (const block of blocks) {
        const event = parseBlock(block)
        if (event) yield event
      }
    }
  } finally {
    stop.abort()
  }
}

/** The first event that `matches`; fails when the stream ends without it. */
export async function onceEvent(
  target: Target,
  sub: string,
  uploadId: string,
  matches: (event: StreamEvent) => boolean,
): Promise<StreamEvent> {
  for await (const event of readEvents(target, sub, uploadId)) if (matches(event)) return event
  throw new Error('the stream ended without the event')
}

function parseBlock(block: string): StreamEvent | undefined {
  const fields = new Map(
    block
      .split('\n')
      .filter((line) => !line.startsWith(':'))
      .map((line): [string, string] => {
        const colon = line.indexOf(': ')
        return [line.slice(0, colon), line.slice(colon + 2)]
      }),
  )
  const data = fields.get('data')
  if (data === undefined) return undefined
  return { event: fields.get('event') ?? 'message', id: fields.get('id'), data: JSON.parse(data) }
}
