import { parseUploadId, type UploadId } from '../../ledger/ids.ts'
import { Problem } from '../errors.ts'

/** tus 1.0 § Upload-Concat. */
export type Concat = { kind: 'partial' } | { kind: 'final'; partials: readonly UploadId[] }

/** What one file is made of, at most. Far more than a client sends at once, and few enough for one transaction. */
const MAX_PARTIALS = 1000

/**
 * Reads the header: `partial`, or `final;` and the addresses of uploads below `path`. Fails with `invalid-header`, and
 * with `invalid-concat` where too many are named or one is named twice, whichever way its address is written.
 */
export function parseConcat(header: string, path: string): Concat {
  if (header === 'partial') return { kind: 'partial' }
  const list = /^final;(.*)$/s.exec(header)?.[1]
  const addresses = list?.split(' ').filter((address) => address !== '') ?? []
  const partials = addresses.map((address) => idOf(address, path))
  if (partials.length === 0 || partials.includes(undefined)) {
    throw new Problem(
      'invalid-header',
      'Upload-Concat takes "partial", or "final;" and the addresses of partial uploads separated by spaces.',
    )
  }
  if (partials.length > MAX_PARTIALS)
    throw new Problem('invalid-concat', `A file is made of at most ${MAX_PARTIALS} partial uploads.`)
  if (new Set(partials).size < partials.length)
    throw new Problem('invalid-concat', 'Upload-Concat names a partial upload twice.')
  return { kind: 'final', partials: partials.filter((id) => id !== undefined) }
}

/** By its path alone: proxies give one server many names. */
function idOf(address: string, path: string): UploadId | undefined {
  const url = URL.parse(address, 'http://any')
  const [, parent, id] = /^(.*)\/([^/]+)$/.exec(url?.pathname ?? '') ?? []
  return parent?.endsWith(path) && id !== undefined ? parseUploadId(id) : undefined
}
