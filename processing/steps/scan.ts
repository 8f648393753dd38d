import { createHash } from 'node:crypto'
import type { Readable } from 'node:stream'
import { ContentSearch } from '../../content/polyglots/content-search.ts'
import { ContentRejected } from '../../content/verdict.ts'
import { settleDuplicate } from '../../ledger/duplicates.ts'
import { declarationOf, type MediaFacts } from '../../ledger/media.ts'
import type { Step, StepContext } from '../step/step.ts'
import { MAX_SCANNED_BYTES, type ScanVerdict } from '../tools/scanner.ts'

/**
 * Scans for viruses, searches for other formats in the file, computes the SHA-256 and compares the client's digest, in
 * one read of the object.
 */
export const scan: Step = {
  name: 'scan',
  after: ['identify'],
  resource: 'scan',
  async run(context) {
    const { digests } = await declarationOf(context.db, context.media.upload_id)
    const verdict = await judge(context, digests ?? {})
    if ('why' in verdict && context.scanOversize === 'reject')
      throw new ContentRejected({
        code: 'scan-limit-exceeded',
        detail: `The file was not scanned: ${verdict.why}.`,
      })
    const { bytes, sha256, isAsPromised, search } = verdict.read ?? (await readAll(context, digests ?? {}))
    if (bytes !== context.media.size) throw new Error(`${bytes} bytes were read of ${context.media.size}`)
    if (!isAsPromised())
      throw new ContentRejected({
        code: 'digest-mismatch',
        detail: 'The file does not match its Repr-Digest.',
      })
    const { kind } = context.media
    const other = kind === 'document' || kind === 'file' ? undefined : search.end()
    if (other !== undefined)
      throw new ContentRejected({
        code: 'polyglot',
        detail: `The file is ${context.media.content_type ?? 'a media file'} and also ${other}.`,
      })
    const hash = sha256()
    if (context.dedup !== 'off') await compare(context, hash)
    return {
      facts: { sha256: hash, scan_status: verdict.status },
      detail: {
        scanned: verdict.status === 'clean',
        ...('why' in verdict ? { unscanned: verdict.why } : {}),
      },
    }
  },
}

/** Notes the equal file that the owner has already. A file that is ready, and only processed again, stays. */
async function compare({ db, dedup, media }: StepContext, sha256: string): Promise<void> {
  const original = await settleDuplicate(db, media.id, sha256)
  if (original === undefined || dedup !== 'reject' || media.status === 'ready') return
  throw new ContentRejected({
    code: 'duplicate',
    detail: `The owner has this file already: it is the media item ${original}.`,
  })
}

type Digests = Record<string, string>
type Read = { bytes: number; sha256: () => string; isAsPromised: () => boolean; search: ContentSearch }
/** `read`: what was read during the scan, where that was all of it. */
type Judged = { read?: Read } & (
  | { status: Extract<MediaFacts['scan_status'], 'clean' | 'off'> }
  | { status: 'unscanned'; why: string }
)

async function judge(context: StepContext, digests: Digests): Promise<Judged> {
  const { media, scanner, signal } = context
  if (!scanner) return { status: 'off' }
  // clamd would wait for bytes.
  if (media.size === 0) return { status: 'clean' }
  if (media.size > MAX_SCANNED_BYTES) {
    return { status: 'unscanned', why: 'the file is larger than clamd can scan' }
  }
  const read = new Reading(digests, signal)
  const source = await sourceOf(context)
  const verdict: ScanVerdict = await scanner.scan(source, read.add, signal)
  if (verdict.kind === 'infected')
    throw new ContentRejected({ code: 'infected', detail: `The file contains ${verdict.signature}.` })
  if (verdict.kind === 'clean') return { status: 'clean', read }
  // clamd may have closed the connection before the end.
  return { status: 'unscanned', why: verdict.why, ...(read.bytes === media.size ? { read } : {}) }
}

async function sourceOf({ media, objects, copy }: StepContext): Promise<Readable> {
  const source = await objects.read(media.storage_key, { etag: media.etag })
  return (await copy?.keep(media, source)) ?? source
}

async function readAll(context: StepContext, digests: Digests): Promise<Read> {
  const read = new Reading(digests, context.signal)
  const source = await sourceOf(context)
  for await (const chunk of source as AsyncIterable<Uint8Array>) read.add(chunk)
  return read
}

/** Counts, searches and hashes the bytes that are read. */
class Reading implements Read {
  bytes = 0
  readonly search = new ContentSearch()
  readonly #hash = createHash('sha256')
  readonly #promised: { expected: string; hash: ReturnType<typeof createHash> }[]
  readonly #signal: AbortSignal

  constructor(digests: Digests, signal: AbortSignal) {
    this.#signal = signal
    this.#promised = Object.entries(digests).map(([algorithm, expected]) => ({
      expected,
      hash: createHash(algorithm),
    }))
  }

  readonly add = (chunk: Uint8Array): void => {
    this.#signal.throwIfAborted()
    this.bytes += chunk.byteLength
    this.search.add(chunk)
    this.#hash.update(chunk)
    for (const { hash } of this.#promised) hash.update(chunk)
  }

  readonly sha256 = (): string => this.#hash.digest('hex')

  readonly isAsPromised = (): boolean =>
    this.#promised.every(({ expected, hash }) => hash.digest('base64') === expected)
}
