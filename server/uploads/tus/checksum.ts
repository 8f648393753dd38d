import type { Request } from 'express'
import { Problem } from '../../http/errors.ts'
import { listElements, singleElement } from '../../http/list-header.ts'
import { type Algorithm, type ExpectedDigest, RunningDigest, readDigest } from '../body-digests.ts'

/** In order of preference. */
export const TUS_ALGORITHMS = ['sha1', 'sha256', 'md5', 'crc32'] as const satisfies readonly Algorithm[]

const HEADER = 'upload-checksum'

/**
 * tus 1.0 § checksum: the expected checksum of a body, from its header or an announced trailer. Undefined without.
 * Fails with `invalid-header`.
 */
export function checksumOf(request: Request): BodyChecksum | undefined {
  const text = request.headers[HEADER]
  const isAnnounced = listElements(request.get('trailer')).some((name) => name.toLowerCase() === HEADER)
  if (text === undefined) return isAnnounced ? new BodyChecksum(request, undefined) : undefined
  return new BodyChecksum(request, parse(text))
}

/** Compares a body with its checksum. */
export class BodyChecksum {
  readonly #request: Request
  readonly #expected: ExpectedDigest | undefined
  /** Before the trailer arrives it can be any algorithm. */
  readonly #running: Map<Algorithm, RunningDigest>

  constructor(request: Request, expected: ExpectedDigest | undefined) {
    this.#request = request
    this.#expected = expected
    const algorithms = expected ? [expected.algorithm] : TUS_ALGORITHMS
    this.#running = new Map(algorithms.map((algorithm) => [algorithm, new RunningDigest(algorithm)]))
  }

  update(chunk: Uint8Array): void {
    for (const running of this.#running.values()) running.update(chunk)
  }

  /** To be called at the end of the body. Fails with `DigestMismatch`, or `invalid-header` for its trailer. */
  check(): void {
    const { algorithm, digest } = this.#expected ?? parse(this.#request.trailers[HEADER])
    this.#running.get(algorithm)?.check(digest)
  }
}

function parse(text: string | string[] | undefined): ExpectedDigest {
  const single = singleElement(text)
  const [, name, base64] = /^(\S+)[ \t]+(\S+)$/.exec(single && single !== 'several' ? single.value : '') ?? []
  const algorithm = TUS_ALGORITHMS.find((known) => known === name)
  if (name !== undefined && algorithm === undefined) {
    throw new Problem('invalid-header', `Upload-Checksum takes ${TUS_ALGORITHMS.join(', ')}.`)
  }
  const expected = algorithm && base64 !== undefined ? readDigest(algorithm, base64) : undefined
  if (!expected) {
    throw new Problem(
      'invalid-header',
      'Upload-Checksum takes an algorithm, a space and the base64 of a checksum.',
    )
  }
  return expected
}
