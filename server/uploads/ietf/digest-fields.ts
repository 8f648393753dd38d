import type { Request, Response } from 'express'
import { parseDictionary } from 'structured-headers'
import { ContentRejected } from '../../../content/verdict.ts'
import type { UploadRow } from '../../../ledger/uploads.ts'
import { Problem } from '../../http/errors.ts'
import type { BodyCheck } from '../body.ts'
import {
  ALGORITHMS,
  type Algorithm,
  type ExpectedDigest,
  RunningDigest,
  readDigest,
} from '../body-digests.ts'

// RFC 9530. Its other algorithms are insecure or unknown here, and are ignored as it demands.

const NAMES: ReadonlyMap<string, Algorithm> = new Map([
  ['sha-256', 'sha256'],
  ['sha-512', 'sha512'],
])

/** The known digests of a field. Fails with `invalid-header` for one of the wrong length. */
export function digestsOf(request: Request, field: 'Content-Digest' | 'Repr-Digest'): ExpectedDigest[] {
  const text = request.get(field)
  if (text === undefined) return []
  const entries = parsed(text)
  if (!entries) return []
  return [...entries].flatMap(([name, [value]]) => {
    const algorithm = NAMES.get(name)
    if (!algorithm) return []
    const expected =
      value instanceof ArrayBuffer ? readDigest(algorithm, Buffer.from(value).toString('base64')) : undefined
    if (!expected) throw new Problem('invalid-header', `${field} holds no ${name} digest.`)
    return [expected]
  })
}

/** Digests for the ledger, to be compared with the whole file. */
export function digestRecord(digests: readonly ExpectedDigest[]): Record<string, string> | null {
  if (digests.length === 0) return null
  return Object.fromEntries(digests.map(({ algorithm, digest }) => [algorithm, digest.toString('base64')]))
}

/** Compares a body with its digest. */
export function digestCheck({ algorithm, digest }: ExpectedDigest): BodyCheck {
  const running = new RunningDigest(algorithm)
  return { update: (chunk) => running.update(chunk), check: () => running.check(digest) }
}

/**
 * Digests of a file that arrives in one request: compared with the client's, where a difference rejects the upload, and
 * sent where the client wants one.
 */
export class ReprDigest implements BodyCheck {
  readonly #running: ReadonlyMap<Algorithm, RunningDigest>
  readonly #promised: readonly ExpectedDigest[]
  readonly #wanted: Algorithm | undefined
  #header: string | undefined

  private constructor(promised: readonly ExpectedDigest[], wanted: Algorithm | undefined) {
    const algorithms = [...promised.map(({ algorithm }) => algorithm), ...(wanted ? [wanted] : [])]
    this.#running = new Map(algorithms.map((algorithm) => [algorithm, new RunningDigest(algorithm)]))
    this.#promised = promised
    this.#wanted = wanted
  }

  /** Undefined where there is nothing to compare or to send. */
  static of({
    digests,
    wanted_digest,
  }: Pick<UploadRow, 'digests' | 'wanted_digest'>): ReprDigest | undefined {
    const promised = Object.entries(digests ?? {}).flatMap(([name, base64]) => {
      const algorithm = ALGORITHMS.find((known) => known === name)
      return (algorithm && readDigest(algorithm, base64)) ?? []
    })
    const wanted = ALGORITHMS.find((known) => known === wanted_digest)
    return promised.length > 0 || wanted ? new ReprDigest(promised, wanted) : undefined
  }

  update(chunk: Uint8Array): void {
    for (const running of this.#running.values()) running.update(chunk)
  }

  /** Fails with `ContentRejected`. */
  check(): void {
    const digests = new Map([...this.#running].map(([algorithm, running]) => [algorithm, running.digest()]))
    for (const { algorithm, digest } of this.#promised) {
      if (digests.get(algorithm)?.equals(digest)) continue
      throw new ContentRejected({
        code: 'digest-mismatch',
        detail: 'The file does not match its Repr-Digest.',
      })
    }
    const name = [...NAMES].find(([, algorithm]) => algorithm === this.#wanted)?.[0]
    const digest = this.#wanted && digests.get(this.#wanted)
    if (digest) this.#header = `${name}=:${digest.toString('base64')}:`
  }

  addHeader(response: Response): void {
    if (this.#header !== undefined) response.set('Repr-Digest', this.#header)
  }
}

/** RFC 9530 § 4: the supported one with the highest preference; 0 means none. */
export function wantedDigest(request: Request): Algorithm | undefined {
  const header = request.get('want-repr-digest')
  const entries = header === undefined ? undefined : parsed(header)
  if (!entries) return undefined
  const wanted = [...entries]
    .map(([name, [preference]]) => ({ algorithm: NAMES.get(name), preference: Number(preference) }))
    .filter(({ algorithm, preference }) => algorithm !== undefined && preference > 0)
  return wanted.toSorted((a, b) => b.preference - a.preference)[0]?.algorithm
}

function parsed(text: string): ReturnType<typeof parseDictionary> | undefined {
  try {
    return parseDictionary(text)
  } catch {
    return undefined
  }
}
