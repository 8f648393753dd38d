import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import NodeClam from 'clamscan'
import { RetryLater } from '../failures/job-failures.ts'

export type ScannerOptions = { host: string; port: number } | { socketPath: string }

export type ScanVerdict =
  | { kind: 'clean' }
  | { kind: 'infected'; signature: string }
  /** clamd did not look at all of it: neither clean nor infected. */
  | { kind: 'not-scanned'; why: string }

/** clamd says OK to whatever is larger, unseen, however it is configured: its own INT_MAX - 2. */
export const MAX_SCANNED_BYTES = 2 ** 31 - 3

/** clamd is given up on when it is silent for this long. */
const TIMEOUT_MS = 120_000
const MAX_UNSENT_BYTES = 4 * 1024 * 1024

/** Scans streams with clamd, through the package `clamscan`. */
export class Scanner {
  readonly #find: () => Promise<ScannerOptions | undefined>

  /** Takes an address, or what finds one for each scan. */
  constructor(clamd: ScannerOptions | (() => Promise<ScannerOptions | undefined>)) {
    this.#find = typeof clamd === 'function' ? clamd : async () => clamd
  }

  /**
   * Sends all of `source` to clamd and returns its verdict; `onChunk` sees every byte on its way,
   * and `signal` hangs up.
   * Fails with `RetryLater` when clamd is away or answers nothing that is a verdict.
   */
  async scan(
    source: Readable,
    onChunk: (chunk: Uint8Array) => void,
    signal: AbortSignal,
  ): Promise<ScanVerdict> {
    const address = await this.#find()
    if (address === undefined) throw new RetryLater('no clamd is available')
    const client = new PacedClient()
    const onAbort = () => client.hangUp()
    signal.addEventListener('abort', onAbort, { once: true })
    // A read error of ours is not clamd's fault, though the package reports it as its own.
    let readError: unknown
    async function* paced(): AsyncGenerator<Uint8Array> {
      try {
        for await (const chunk of source as AsyncIterable<Uint8Array>) {
          onChunk(chunk)
          yield chunk
          await client.untilSent()
        }
      } catch (error) {
        readError = error
        throw error
      }
    }
    const stream = Readable.from(paced(), { objectMode: false, highWaterMark: 0 })
    try {
      return verdictOf(await client.scan(settingsFor(address), stream))
    } catch (error) {
      if (readError !== undefined) throw readError
      if (error instanceof Error && /size limit exceeded/i.test(error.message)) {
        return { kind: 'not-scanned', why: 'the file is larger than clamd accepts' }
      }
      throw error instanceof RetryLater
        ? error
        : new RetryLater('clamd is unavailable or did not finish the scan', { cause: error })
    } finally {
      signal.removeEventListener('abort', onAbort)
      stream.destroy()
      source.destroy()
      client.hangUp()
    }
  }
}

function settingsFor(address: ScannerOptions): NodeClam.Options {
  const place =
    'socketPath' in address ? { socket: address.socketPath } : { host: address.host, port: address.port }
  return {
    preference: 'clamdscan',
    clamscan: { active: false },
    clamdscan: { ...place, timeout: TIMEOUT_MS, localFallback: false, bypassTest: true },
  }
}

function verdictOf({ isInfected, viruses }: { isInfected: boolean | null; viruses: string[] }): ScanVerdict {
  // null stands for a cut reply, a hung daemon or nonsense: no verdict, whatever it looks like.
  if (isInfected === null) throw new RetryLater('unexpected reply from clamd: no scan result')
  if (!isInfected) return { kind: 'clean' }
  const signature = viruses[0] ?? 'unknown'
  return signature.startsWith('Heuristics.Limits.')
    ? { kind: 'not-scanned', why: 'the file exceeds a limit of the scanner' }
    : { kind: 'infected', signature: signature.replace(/\.UNOFFICIAL$/, '') }
}

/**
 * The package writes to clamd's socket without regard for how much of it is still unsent, which would
 * gather a whole file in memory. Its socket is caught here, to let the source wait for it.
 */
class PacedClient {
  readonly #client = new NodeClam()
  #socket: Socket | undefined

  constructor() {
    const connect: unknown = Reflect.get(this.#client, '_initSocket')
    if (typeof connect !== 'function') throw new Error('clamscan is not the version this was written for')
    Reflect.set(this.#client, '_initSocket', async (label: string): Promise<Socket> => {
      const socket: Socket = await Reflect.apply(connect, this.#client, [label])
      this.#socket = socket
      // The package listens for this too, but goes on waiting.
      socket.on('timeout', () => socket.destroy(new Error('clamd timed out')))
      return socket
    })
  }

  async scan(settings: NodeClam.Options, stream: Readable) {
    await this.#client.init(settings)
    return await this.#client.scanStream(stream)
  }

  /** Resolves when clamd has taken most of what was written, or is gone. */
  async untilSent(): Promise<void> {
    const socket = this.#socket
    if (!socket || socket.destroyed || socket.writableLength < MAX_UNSENT_BYTES) return
    await new Promise<void>((resolve) => {
      const done = () => {
        socket.off('drain', done)
        socket.off('close', done)
        resolve()
      }
      socket.on('drain', done)
      socket.on('close', done)
    })
  }

  hangUp(): void {
    this.#socket?.destroy()
  }
}
