import { servedAs } from '../../content/served-as.ts'
import type { Ledger } from '../../ledger/database.ts'
import { forgetProbe, recordProbe, staleProbes } from '../../ledger/link-probes.ts'
import { inTime } from '../../system/in-time.ts'
import { newProbeKey } from '../store/keys.ts'
import { StorageFull, StorageUnavailable } from '../store/objects.ts'
import type { S3 } from './s3.ts'
import { bodyOf } from './s3-body.ts'
import { linkOfPart, partsOf } from './s3-links.ts'

/** Limits, together half a minute, in which a request that waits for the probe is answered. */
const PROBE_MS = 20_000
const CLEAN_UP_MS = 10_000
const LINK_SECONDS = 60
/** More is no answer of S3. */
const MAX_ANSWER_BYTES = 64 * 1024
/** A part of the one size is a copy, and of the other what was sent. */
const SOURCE = Buffer.from('a')
const SENT = Buffer.from('bb')

/** An open multipart upload, and what is copied into it. */
type Attack = { key: string; multipartId: string; source: string; signal: AbortSignal }
type Answer = { status: number; text: string }

/**
 * Finds out whether a link to put a part also reads: with the header `x-amz-copy-source`, which its signature does not
 * cover, some servers copy into the part whatever the credentials of the link can read. AWS refuses the header. The
 * bucket is asked once, when the first link is wanted.
 */
export class LinkProbe {
  readonly #db: Ledger
  readonly #s3: S3
  readonly #prefix: string
  readonly #onError: (error: unknown) => void
  #areSafe: Promise<boolean> | undefined

  /** `prefix`: the template of the prefix of uploads. `onError`: called where something of a probe may remain. */
  constructor(db: Ledger, s3: S3, prefix: string, onError: (error: unknown) => void) {
    this.#db = db
    this.#s3 = s3
    this.#prefix = prefix
    this.#onError = onError
  }

  /**
   * Whether links only put. All callers share one probe, and its result is kept. Fails with `StorageUnavailable` or
   * `StorageFull`, within 30 s, where the bucket gives no clear answer; the next caller tries again.
   */
  async areSafe(): Promise<boolean> {
    this.#areSafe ??= this.#probe().catch((error: unknown) => {
      this.#areSafe = undefined
      const isOurs = error instanceof StorageUnavailable || error instanceof StorageFull
      throw isOurs ? error : new StorageUnavailable({ cause: error })
    })
    return await this.#areSafe
  }

  async #probe(): Promise<boolean> {
    // Another key each time: the probe of another process would remove what this one copies.
    const key = newProbeKey(this.#prefix)
    const signal = AbortSignal.timeout(PROBE_MS)
    let opened: { id: string; isConfirmed: boolean } | undefined
    await recordProbe(this.#db, key)
    try {
      await this.#s3.put(key, bodyOf(SOURCE), servedAs(null), signal)
      opened = await this.#s3.createMultipart(key, servedAs(null), signal)
      const attack = { key, multipartId: opened.id, source: `${this.#s3.bucket}/${key}`, signal }
      return !(await this.#anyReads(attack))
    } finally {
      const cleanUp = this.#cleanUp(key, opened).catch(this.#onError)
      await inTime(cleanUp, CLEAN_UP_MS, () => undefined)
    }
  }

  /** Whether any kind of link that clients get reads. */
  async #anyReads(attack: Attack): Promise<boolean> {
    const links = [undefined, SENT.byteLength].map((size, index) => this.#reads(attack, index + 1, size))
    const results = await Promise.allSettled(links)
    if (results.some((result) => result.status === 'fulfilled' && result.value)) return true
    for (const result of results) if (result.status === 'rejected') throw result.reason
    return false
  }

  /** Fails where the answers do not tell: only of a link that works it means something that the copy is refused. */
  async #reads(attack: Attack, partNumber: number, size: number | undefined): Promise<boolean> {
    const { key, multipartId, source, signal } = attack
    const url = await linkOfPart(this.#s3, { key, multipartId, partNumber, size }, LINK_SECONDS)
    const body = size === undefined ? undefined : SENT
    const copied = await putTo(url, { 'x-amz-copy-source': source }, body, signal)
    if (copied.text.includes('CopyPartResult')) return true
    if (isDone(copied)) {
      const parts = await partsOf(this.#s3, key, multipartId, signal)
      const stored = parts.find((part) => part.partNumber === partNumber)
      if (stored?.size === SOURCE.byteLength) return true
      if (!stored) throw unclear('a copy by a link', copied)
    } else if (!isRefusal(copied)) throw unclear('a copy by a link', copied)
    const put = await putTo(url, {}, SENT, signal)
    if (!isDone(put)) throw unclear('a link to a part', put)
    return false
  }

  async #cleanUp(key: string, opened: { id: string; isConfirmed: boolean } | undefined): Promise<void> {
    const ended = await Promise.allSettled([
      this.#s3.remove([key]),
      opened?.isConfirmed
        ? this.#s3.abortMultipart(key, opened.id)
        : // One may be open whose id did not reach us.
          this.#s3.abortMultiparts(key),
    ])
    for (const result of ended) if (result.status === 'rejected') throw result.reason
    await forgetProbe(this.#db, key)
  }

  /** Removes what probes have left whose process was killed, or had no bucket at their end. */
  async sweep(): Promise<void> {
    for (const key of await staleProbes(this.#db)) await this.#cleanUp(key, undefined)
  }
}

const isDone = ({ status }: Answer): boolean => status >= 200 && status < 300

/** It will not copy; others may be able to another time. */
const isRefusal = ({ status }: Answer): boolean =>
  (status >= 400 && status < 500 && ![404, 408, 429].includes(status)) || status === 501

function unclear(what: string, { status, text }: Answer): StorageUnavailable {
  const code = /<Code>(\w+)<\/Code>/.exec(text)?.[1] ?? ''
  return new StorageUnavailable({ cause: new Error(`S3 answered ${what} with ${status} ${code}`.trimEnd()) })
}

/** A PUT as a client sends it. */
async function putTo(
  url: string,
  headers: Record<string, string>,
  body: Buffer<ArrayBuffer> | undefined,
  signal: AbortSignal,
): Promise<Answer> {
  const init = { method: 'PUT', headers, redirect: 'manual', signal } as const
  const response = await fetch(url, body ? { ...init, body } : init)
  let text = ''
  for await (const chunk of response.body ?? []) {
    text += Buffer.from(chunk).toString('latin1')
    if (text.length > MAX_ANSWER_BYTES) break
  }
  return { status: response.status, text }
}
