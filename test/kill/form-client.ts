import { slowly } from '../support/pauses.ts'
import type { ClientOptions } from './client.ts'
import type { PlannedUpload } from './plan.ts'
import { type Answer, ConnectionLost, sendRaw } from './raw-request.ts'

const BOUNDARY = 'a-boundary-that-no-file-has-0123456789'
const LOCKED_RETRY_MS = 50

/**
 * A client that sends its file by one form, and begins anew when the connection was lost: it first looks whether the file
 * is there, and ends what a killed server has left of it. Gives the id of the upload. Fails when the server says
 * anything else than yes, or has the file twice.
 */
export async function sendForm(plan: PlannedUpload, options: ClientOptions): Promise<string> {
  for (;;) {
    await options.available()
    try {
      const uploadId = (await findWhole(plan, options)) ?? (await post(plan, options))
      if (uploadId !== undefined) return uploadId
    } catch (error) {
      if (!(error instanceof ConnectionLost)) throw error
    }
  }
}

async function post(plan: PlannedUpload, options: ClientOptions): Promise<string> {
  const { name, contentType, bytes, hasContentLength, pieceBytes } = plan
  const body = Buffer.concat([
    Buffer.from(
      `--${BOUNDARY}\r\nContent-Disposition: form-data; name="title"\r\n\r\n${name}\r\n` +
        `--${BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="${name}"\r\n` +
        `Content-Type: ${contentType}\r\n\r\n`,
    ),
    bytes,
    Buffer.from(`\r\n--${BOUNDARY}--\r\n`),
  ])
  let at = 0
  const answer = await send(plan, options, 'POST', '/api/v1/media', {
    headers: {
      'Content-Type': `multipart/form-data; boundary=${BOUNDARY}`,
      ...(hasContentLength ? { 'Content-Length': String(body.length) } : {}),
    },
    body,
    pieceBytes,
    onSent(count) {
      const isHalf = at < body.length / 2 && at + count >= body.length / 2
      at += count
      options.onSent(count)
      if (isHalf) options.onMoment('form-half-sent')
      if (at === body.length) options.onMoment('last-patch-sent')
    },
  })
  if (answer.status !== 201) throw broken(plan, `answered the form with ${answer.status} ${answer.text}`)
  options.onMoment('last-patch-acknowledged')
  return (JSON.parse(answer.text) as { uploadId: string }).uploadId
}

/** The upload of the file where it is whole. What is left of one that is not is ended first. */
async function findWhole(plan: PlannedUpload, options: ClientOptions): Promise<string | undefined> {
  const listed = await send(plan, options, 'GET', '/api/v1/media?limit=100')
  if (listed.status !== 200) throw broken(plan, `answered the list with ${listed.status} ${listed.text}`)
  const { items } = JSON.parse(listed.text) as { items: { filename: string; uploadId: string }[] }
  const whole = items.filter(({ filename }) => filename === plan.name)
  if (whole.length > 1) throw broken(plan, 'has it more than once')
  const open = await send(plan, options, 'GET', '/api/v1/uploads?state=open')
  if (open.status !== 200) throw broken(plan, `answered the list with ${open.status} ${open.text}`)
  const left = (JSON.parse(open.text) as { items: { filename: string; id: string }[] }).items
  for (const { id } of left.filter(({ filename }) => filename === plan.name)) {
    options.onRefusal('form cut off by a kill')
    await end(plan, options, id)
  }
  return whole[0]?.uploadId
}

async function end(plan: PlannedUpload, options: ClientOptions, id: string): Promise<void> {
  for (;;) {
    const { status, text } = await send(plan, options, 'DELETE', `/files/${id}`)
    // A kill may have hit the answer of the one before.
    if (status === 204 || status === 404 || status === 410) return
    if (status !== 423) throw broken(plan, `answered DELETE with ${status} ${text}`)
    await slowly(LOCKED_RETRY_MS)
  }
}

type Sending = Partial<Pick<Parameters<typeof sendRaw>[0], 'headers' | 'body' | 'pieceBytes' | 'onSent'>>

const send = (
  { owner }: PlannedUpload,
  { server }: ClientOptions,
  method: string,
  path: string,
  { headers, ...more }: Sending = {},
): Promise<Answer> =>
  sendRaw({
    ...more,
    url: server.url + path,
    method,
    headers: {
      Authorization: `Bearer ${server.token(owner)}`,
      ...(path.startsWith('/files') ? { 'Tus-Resumable': '1.0.0' } : {}),
      ...headers,
    },
  })

const broken = ({ name, owner, bytes }: PlannedUpload, what: string): Error =>
  new Error(`${name} of ${owner} (${bytes.length} bytes, by a form): the server ${what}`)
