import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import NodeClam from 'clamscan'
import { RetryLater } from '../failures/job-failures.ts'

export type ScannerOptions = { host: string; port: number } | { socketPath: string }

export type ScanVerdict =
  | { kind: 'clean' }
  | { kind: 'infected'; signature: string }
  /** clamd did not scan all of it: neither clean nor infected. */
  | { kind: 'not-scanned'; why: string }

/** clamd reports larger streams as OK without scanning them, whatever its settings: INT_MAX - 2. */
export const MAX_SCANNED_BYTES = 2 ** 31 - 3

/** Limit for the silence of clamd. */
const TIMEOUT_MS = 120_000
const MAX_UNSENT_BYTES = 4 * 1024 * 1024

export class Scanner {
  readonly #find: () => Promise<ScannerOptions | undefined>

  /** Takes an address, or a function that finds it for each scan. */
  constructor(clamd: ScannerOptions | (() => Promise<ScannerOptions | undefined>)) {
    this.#find = typeof clamd === 'function' ? clamd : async () => clamd
  }

  /**
   * Sends all of `source` to clamd and returns its result; `onChunk` sees every byte, and `signal` aborts. Fails with
   * `RetryLater` when clamd is unavailable or its reply is not a scan result.
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
    // The package reports a read error of ours as clamd's.
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
  // null stands for a cut or unexpected reply, or a timeout.
  if (isInfected === null) throw new RetryLater('unexpected reply from clamd: no scan result')
  if (!isInfected) return { kind: 'clean' }
  const signature = viruses[0] ?? 'unknown'
  return signature.startsWith('Heuristics.Limits.')
    ? { kind: 'not-scanned', why: 'the file exceeds a limit of the scanner' }
    : { kind: 'infected', signature: signature.replace(/\.UNOFFICIAL$/, '') }
}

/**
 * The package writes to clamd's socket without back-pressure, which would buffer a whole file in memory. The socket is
 * caught here, so that the source waits for it.
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

  /** Resolves when clamd has taken most of what was written, or has closed the connection. */
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
