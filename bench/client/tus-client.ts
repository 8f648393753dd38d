import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { Agent, type ClientRequest, type IncomingMessage, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { asMp4 } from '../../test/support/sample-bytes.ts'
import type { ClientOrder, ClientReport, RequestTimes, UploadPlan } from './plan.ts'

/** Larger than the caches of a processor, so that no subject reads bodies from there; it begins like an mp4. */
const BODY = asMp4(randomBytes(64 * 1024 * 1024))
const WRITE_BYTES = 256 * 1024
/** A paced upload sends this often. */
const PACE_MS = 100
/** A server that says nothing for this long has failed: a little less than Node lets a request take by default. */
const SILENCE_MS = 280_000

type Run = Omit<ClientOrder, 'plan'> & {
  plan: UploadPlan
  agent: Agent
  times: RequestTimes
  uploadIds: string[]
}

/**
 * Carries out a plan: uploads by tus 1.0, each a POST and the PATCHes it takes, over connections that are
 * kept. It does no more than that, so that little of the machine goes to it. Fails with the first answer
 * that is not the expected one.
 */
export async function carryOut({ url, headers, plan }: ClientOrder): Promise<ClientReport> {
  const agent = new Agent({ keepAlive: true, maxSockets: plan.parallel })
  const run: Run = { url, headers, plan, agent, times: { POST: [], PATCH: [] }, uploadIds: [] }
  let left = plan.uploads
  const staggerMs = staggerOf(plan)
  const uploadInTurn = async (turn: number) => {
    await sleep(turn * staggerMs)
    while (left-- > 0) await upload(run)
  }
  const began = performance.now()
  try {
    await Promise.all(Array.from({ length: plan.parallel }, (_, turn) => uploadInTurn(turn)))
    return { seconds: (performance.now() - began) / 1000, times: run.times, uploadIds: run.uploadIds }
  } finally {
    agent.destroy()
  }
}

/**
 * People do not begin, and end, in the same instant: paced uploads begin one after the other, over a tenth of
 * the time that one takes.
 */
function staggerOf({ size, parallel, bytesPerSecond }: UploadPlan): number {
  return bytesPerSecond === null ? 0 : (size / bytesPerSecond) * (1000 / 10 / parallel)
}

async function upload(run: Run): Promise<void> {
  const { size, requestSize } = run.plan
  const path = await create(run)
  run.uploadIds.push(path.slice(path.lastIndexOf('/') + 1))
  for (let offset = 0; offset < size; offset += requestSize) {
    await append(run, path, offset, Math.min(requestSize, size - offset))
  }
}

/** Gives the path of the new upload. */
async function create(run: Run): Promise<string> {
  const began = performance.now()
  const outgoing = open(run, 'POST', '/files', {
    'Upload-Length': run.plan.size,
    'Upload-Metadata': `filename ${Buffer.from('movie.mp4').toString('base64')}`,
    'Content-Length': 0,
  })
  const answer = await answerOf(outgoing, 201, () => outgoing.end())
  run.times.POST.push(performance.now() - began)
  return new URL(String(answer.headers.location), run.url).pathname
}

async function append(run: Run, path: string, offset: number, bytes: number): Promise<void> {
  let began = performance.now()
  const outgoing = open(run, 'PATCH', path, {
    'Upload-Offset': offset,
    'Content-Type': 'application/offset+octet-stream',
    'Content-Length': bytes,
  })
  const answer = await answerOf(outgoing, 204, async () => {
    await send(outgoing, offset, bytes, run.plan.bytesPerSecond)
    // What a paced request takes is mostly its pace: it is timed from its last byte.
    if (run.plan.bytesPerSecond !== null) began = performance.now()
  })
  run.times.PATCH.push(performance.now() - began)
  const reached = answer.headers['upload-offset']
  if (reached !== String(offset + bytes)) throw new Error(`PATCH reached ${reached}, not ${offset + bytes}`)
}

function open(
  run: Run,
  method: string,
  path: string,
  headers: Record<string, string | number>,
): ClientRequest {
  return request(new URL(path, run.url), {
    method,
    agent: run.agent,
    headers: { 'Tus-Resumable': '1.0.0', ...run.headers, ...headers },
    timeout: SILENCE_MS,
  })
}

/** The answer, read to its end, while `sendBody` sends. */
async function answerOf(
  outgoing: ClientRequest,
  status: number,
  sendBody: () => unknown,
): Promise<IncomingMessage> {
  outgoing.once('timeout', () =>
    outgoing.destroy(new Error(`the server was silent for ${SILENCE_MS / 1000} s`)),
  )
  const [[answer]] = (await Promise.all([once(outgoing, 'response'), sendBody()])) as [
    [IncomingMessage],
    unknown,
  ]
  let text = ''
  for await (const chunk of answer) text += chunk
  if (answer.statusCode !== status) {
    throw new Error(`${outgoing.method} ${outgoing.path} answered ${answer.statusCode}: ${text}`)
  }
  return answer
}

async function send(
  outgoing: ClientRequest,
  offset: number,
  bytes: number,
  bytesPerSecond: number | null,
): Promise<void> {
  const began = performance.now()
  for (let sent = 0; sent < bytes; ) {
    const from = (offset + sent) % BODY.length
    const most = bytesPerSecond === null ? WRITE_BYTES : Math.ceil((bytesPerSecond * PACE_MS) / 1000)
    const piece = BODY.subarray(from, Math.min(from + most, from + bytes - sent))
    sent += piece.length
    if (sent === bytes) outgoing.end(piece)
    else if (!outgoing.write(piece)) await drained(outgoing)
    if (bytesPerSecond !== null && sent < bytes) {
      const due = began + (sent / bytesPerSecond) * 1000
      await sleep(Math.max(0, due - performance.now()))
    }
  }
}

/** Resolves when there is room again, or never more will be: the answer then says what became of it. */
async function drained(outgoing: ClientRequest): Promise<void> {
  if (outgoing.destroyed) return
  const { promise, resolve } = Promise.withResolvers<void>()
  const events = ['drain', 'close', 'response'] as const
  for (const event of events) outgoing.once(event, resolve)
  await promise
  for (const event of events) outgoing.off(event, resolve)
}
