import { parseUploadId, type UploadId } from '../../ledger/ids.ts'
import { Problem } from '../errors.ts'

/** tus 1.0 § Upload-Concat. */
export type Concat = { kind: 'partial' } | { kind: 'final'; partials: readonly UploadId[] }

/** Reads the header: `partial`, or `final;` and the addresses of uploads below `path`. Fails with `invalid-header`. */
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
  return { kind: 'final', partials: partials.filter((id) => id !== undefined) }
}

/** By its path alone: proxies give one server many names. */
function idOf(address: string, path: string): UploadId | undefined {
  const url = URL.parse(address, 'http://any')
  const [, parent, id] = /^(.*)\/([^/]+)$/.exec(url?.pathname ?? '') ?? []
  return parent?.endsWith(path) && id !== undefined ? parseUploadId(id) : undefined
}
