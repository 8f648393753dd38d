/**
 * One flood, in a process of its own: `node hostile.ts NAME`, with the server's address and a token in the environment.
 * It goes on until it is ended (SIGTERM), and then writes how often which status was answered.
 */
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { jpeg, video60s1080p } from '../../test/fixtures/media.ts'
import { asMp4 } from '../../test/support/sample-bytes.ts'

const url = process.env.BENCH_URL ?? ''
const token = process.env.BENCH_TOKEN ?? ''
const CONNECTIONS = 40
/** What a client needs between two requests: the generator shares the machine with what it floods. */
const PAUSE_MS = 10

/** All that it takes is there: the flood begins. */
const begun = (): void => void process.stdout.write('begun\n')

const agent = new Agent({ keepAlive: true, maxSockets: 400 })
const counts: Record<string, number> = {}
const tus = { 'Tus-Resumable': '1.0.0' }
let isOver = false

type Asked = { method?: string; headers?: Record<string, string | number>; body?: Uint8Array }
type Answer = { status: number; headers: Record<string, string | string[] | undefined>; text: string }

async function ask(path: string, { method = 'GET', headers = {}, body }: Asked = {}): Promise<Answer> {
  const sent = request(new URL(path, url), {
    method,
    agent,
    headers: { Authorization: `Bearer ${token}`, 'Content-Length': body?.length ?? 0, ...headers },
  })
  sent.end(body)
  const [answer] = await once(sent, 'response')
  let text = ''
  for await (const chunk of answer) text += chunk
  return { status: answer.statusCode, headers: answer.headers, text }
}

const count = (status: number | string): void => {
  counts[status] = (counts[status] ?? 0) + 1
}

/** A creation that was not let in: counted, and tried again after a moment. */
async function refused(): Promise<undefined> {
  count('refused')
  await sleep(1000)
}

/** The same request over and over on many connections. */
async function flood(one: (turn: number) => Promise<Answer>, connections = CONNECTIONS): Promise<void> {
  begun()
  await Promise.all(
    Array.from({ length: connections }, async (_, turn) => {
      while (!isOver) {
        count(
          await one(turn).then(
            ({ status }) => status,
            () => 'broken',
          ),
        )
        await sleep(PAUSE_MS)
      }
    }),
  )
}

async function createOne(size: number, headers: Record<string, string> = {}): Promise<string> {
  const metadata = { 'Upload-Metadata': `filename ${Buffer.from('movie.mp4').toString('base64')}` }
  const answer = await ask('/files', {
    method: 'POST',
    headers: { ...tus, ...metadata, 'Upload-Length': size, ...headers },
  })
  if (answer.status !== 201) throw new Error(`a creation answered ${answer.status}: ${answer.text}`)
  return new URL(String(answer.headers.location), url).pathname
}

const append = (path: string, body: Uint8Array) =>
  ask(path, {
    method: 'PATCH',
    headers: { ...tus, 'Upload-Offset': 0, 'Content-Type': 'application/offset+octet-stream' },
    body,
  })

async function sendPicture(seed: number): Promise<string> {
  const bytes = await readFile((await jpeg({ width: 640, height: 480 + (seed % 8) })).path)
  const path = await createOne(bytes.length, {
    'Upload-Metadata': `filename ${Buffer.from('a.jpg').toString('base64')}`,
  })
  const answer = await append(path, bytes)
  count(answer.status)
  return String(answer.headers['upload-media-id'])
}

const finalOf = (path: string, references: number): Record<string, string> => ({
  ...tus,
  'Upload-Concat': `final;${Array.from({ length: references }, () => path).join(' ')}`,
})

/** A PATCH that sends `bytes` in pieces, one a second, for as long as that takes. */
async function slowAppend(path: string, bytes: Uint8Array, seconds: number): Promise<void> {
  const { hostname, port, host } = new URL(url)
  const socket = connect(Number(port), hostname)
  const answered = new Promise<string>((resolve) => {
    let text = ''
    socket.setEncoding('latin1').on('data', (part: string) => {
      text += part
      if (text.includes('\r\n')) resolve(text.slice(9, 12))
    })
    socket.on('error', () => {}).on('close', () => resolve('broken'))
  })
  const head = { ...tus, Host: host, Authorization: `Bearer ${token}`, 'Upload-Offset': 0 }
  const lines = Object.entries({
    ...head,
    'Content-Type': 'application/offset+octet-stream',
    'Content-Length': bytes.length,
  }).map(([name, value]) => `${name}: ${value}`)
  socket.write([`PATCH ${path} HTTP/1.1`, ...lines, '', ''].join('\r\n'))
  let isAnswered = false
  void answered.then(() => {
    isAnswered = true
  })
  const step = Math.ceil(bytes.length / seconds)
  for (let at = 0; at < bytes.length && !isAnswered && !isOver; at += step) {
    socket.write(bytes.subarray(at, at + step))
    await sleep(1000)
  }
  const status = await Promise.race([answered, sleep(30_000, 'silent')])
  count(status)
  socket.destroy()
}

const FLOODS: Record<string, () => Promise<void>> = {
  async 'concat-references'() {
    const path = await createOne(10, { 'Upload-Concat': 'partial' })
    await append(path, asMp4(Buffer.alloc(10)))
    await flood(() => ask('/files', { method: 'POST', headers: finalOf(path, 1000) }))
  },
  async 'concat-locks'() {
    const path = await createOne(2000, { 'Upload-Concat': 'partial' })
    await append(path, asMp4(Buffer.alloc(2000)))
    await flood(() => ask('/files', { method: 'POST', headers: finalOf(path, 1) }))
  },
  async process() {
    const media = await sendPicture(0)
    await flood(() => ask(`/api/v1/media/${media}/process`, { method: 'POST' }))
  },
  async streams() {
    // Something to catch up with.
    for (let n = 0; n < 200 && !isOver; n++) {
      const path = await createOne(2000)
      await ask(path, { method: 'DELETE', headers: tus })
    }
    begun()
    await Promise.all(
      Array.from({ length: 300 }, async () => {
        while (!isOver) {
          const status = await new Promise<number | string>((resolve) => {
            const headers = { Authorization: `Bearer ${token}` }
            const sent = request(new URL('/api/v1/events?lastEventId=0', url), { agent: false, headers })
            sent.on('error', () => resolve('broken')).end()
            sent.on('response', (answer) => {
              answer.resume().on('error', () => {})
              if (answer.statusCode !== 200) return resolve(answer.statusCode ?? 0)
              count(200)
              // Begun again and again, to read all of it again.
              setTimeout(() => {
                sent.destroy()
                resolve('ended')
              }, 1000)
            })
          })
          if (status !== 'ended') count(status)
          // Not all at the same moment, and sooner than `Retry-After` says.
          await sleep(status === 'ended' ? 0 : 2000 + 4000 * Math.random())
        }
      }),
    )
  },
  async files() {
    begun()
    await Promise.all(
      Array.from({ length: 4 }, async (_, lane) => {
        for (let n = lane; !isOver; n += 4) await sendPicture(n).catch(refused)
      }),
    )
  },
  async 'large-files'() {
    // A minute of 1080p, as large as a file that takes long: one has a slot of a worker for much of the flood.
    const padding = Buffer.alloc(12_000_000)
    padding.writeUInt32BE(padding.length, 0)
    padding.write('free', 4, 'latin1')
    const bytes = Buffer.concat([await readFile((await video60s1080p()).path), padding])
    begun()
    for (let n = 0; n < 20 && !isOver; n++) {
      const path = await createOne(bytes.length)
      count((await append(path, bytes)).status)
    }
    while (!isOver) await sleep(100)
  },
  lists: () => flood((turn) => ask(turn % 2 ? '/api/v1/media?limit=100' : '/api/v1/uploads?state=open')),
  async heads() {
    const paths = await Promise.all(Array.from({ length: CONNECTIONS }, () => createOne(2000)))
    await flood((turn) => ask(paths[turn] ?? '', { method: 'HEAD', headers: tus }))
  },
  async 'slow-appends'() {
    const bytes = asMp4(Buffer.alloc(20_000))
    const paths: string[] = []
    while (paths.length < 1000)
      paths.push(...(await Promise.all(Array.from({ length: 20 }, () => createOne(bytes.length)))))
    begun()
    // Of different length, so that they do not all end together, and each is followed by another.
    await Promise.all(
      paths.map(async (path, n) => {
        await slowAppend(path, bytes, 5 + (n % 16))
        while (!isOver) {
          const next = await createOne(bytes.length).catch(refused)
          if (next !== undefined) await slowAppend(next, bytes, 20)
        }
      }),
    )
  },
}

const name = process.argv[2] ?? ''
process.once('SIGTERM', () => {
  isOver = true
  setTimeout(() => {
    process.stdout.write(`${JSON.stringify(counts)}\n`, () => process.exit(0))
  }, 200)
})
await FLOODS[name]?.()
