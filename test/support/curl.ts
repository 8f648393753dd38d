import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'

/** Without what its user has configured, and straight to the server. */
const PLAIN = ['--disable', '--silent', '--noproxy', '*']

export type CurlAnswer = {
  status: number
  headers: Headers
  body: Buffer
  /** Statuses of the interim responses and redirects before it. */
  before: number[]
  /** Bytes of the body that curl sent. */
  sentBytes: number
}

/** What curl prints of one response. */
type Head = { status: number; headers: Headers }

/**
 * Runs the curl of this machine with its defaults, as somebody types it, and waits for the last answer.
 * @param options.input for `-T -`
 * @throws Error if it gets no answer
 */
export async function curl(args: readonly string[], options: { input?: Buffer } = {}): Promise<CurlAnswer> {
  const directory = await mkdtemp(join(tmpdir(), 'landfall-curl-'))
  try {
    const output = join(directory, 'body')
    const own = ['--dump-header', '-', '--output', output, '--write-out', '%{stderr}%{json}']
    const { stdout, stderr, exitCode } = await execa('curl', [...PLAIN, ...own, ...args], {
      ...(options.input ? { input: options.input } : {}),
      reject: false,
      stripFinalNewline: false,
      timeout: 60_000,
    })
    const heads = headsOf(stdout)
    const last = heads.at(-1)
    if (!last) throw new Error(`curl ended with ${exitCode} and without an answer`)
    return {
      ...last,
      body: await readFile(output).catch(() => Buffer.alloc(0)),
      before: heads.slice(0, -1).map(({ status }) => status),
      sentBytes: (JSON.parse(stderr) as { size_upload: number }).size_upload,
    }
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

/** A curl in the middle of its work. */
export type RunningCurl = {
  /** A header of any response that has come so far, interim ones as well; resolves as soon as there is one. */
  header(name: string): Promise<string>
  kill(): Promise<void>
}

export function startCurl(args: readonly string[]): RunningCurl {
  const child = execa('curl', [...PLAIN, '--dump-header', '-', '--output', '/dev/null', ...args], {
    reject: false,
    timeout: 60_000,
  })
  let text = ''
  child.stdout.on('data', (chunk: Buffer) => {
    text += String(chunk)
  })
  return {
    async header(name) {
      for (;;) {
        const value = headsOf(text)
          .find(({ headers }) => headers.has(name))
          ?.headers.get(name)
        if (value) return value
        if (child.stdout.readableEnded) throw new Error(`no answer had the header ${name}`)
        await Promise.race([once(child.stdout, 'data'), once(child.stdout, 'end')])
      }
    },
    async kill() {
      child.kill('SIGKILL')
      await child
    },
  }
}

/** Every response that is there as a whole. */
function headsOf(text: string): Head[] {
  return text
    .replaceAll('\r\n', '\n')
    .split('\n\n')
    .slice(0, -1)
    .map((block) => {
      const [statusLine = '', ...lines] = block.split('\n')
      const headers = lines.map((line): [string, string] => {
        const colon = line.indexOf(':')
        return [line.slice(0, colon), line.slice(colon + 1).trim()]
      })
      return { status: Number(statusLine.split(' ')[1]), headers: new Headers(headers) }
    })
}
