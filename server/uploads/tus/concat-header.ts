import { parseUploadId, type UploadId } from '../../../ledger/ids.ts'
import { Problem } from '../../http/errors.ts'
import { plainElements } from '../../http/list-header.ts'

const FINAL = 'final;'

/** tus 1.0 § Upload-Concat. */
export type Concat = ({ kind: 'partial' } | { kind: 'final'; partials: readonly UploadId[] }) & {
  /** As HEAD tells it: without empty elements and blanks. */
  header: string
}

/** Maximum of partials of a file: far more than clients use, and few enough for one transaction. */
const MAX_PARTIALS = 1000

/**
 * Parses the header: `partial`, or `final;` and the addresses of uploads below `path`. Fails with `invalid-header`, and
 * with `invalid-concat` for too many or repeated uploads, in whichever spelling.
 */
export function parseConcat(header: string, path: string): Concat {
  const elements = plainElements(header)
  if (elements.length > 0 && elements.every((element) => element === 'partial'))
    return { kind: 'partial', header: 'partial' }
  if (!elements[0]?.startsWith(FINAL)) throw malformed()
  // Repeated lines, and clients that put commas between the addresses.
  const addresses = elements.flatMap((element) =>
    element
      .replace(FINAL, '')
      .split(/[ \t]/)
      .filter((address) => address !== ''),
  )
  if (addresses.length === 0) throw malformed()
  if (addresses.length > MAX_PARTIALS)
    throw new Problem('invalid-concat', `A file is made of at most ${MAX_PARTIALS} partial uploads.`)
  const partials = new Set<UploadId>()
  // It stops at the first error: a list of a thousand costs no more than one of two.
  for (const address of addresses) {
    const id = idOf(address, path)
    if (id === undefined) throw malformed()
    if (partials.has(id)) throw new Problem('invalid-concat', 'Upload-Concat names a partial upload twice.')
    partials.add(id)
  }
  return { kind: 'final', partials: [...partials], header: FINAL + addresses.join(' ') }
}

const malformed = (): Problem =>
  new Problem(
    'invalid-header',
    'Upload-Concat takes "partial", or "final;" and the addresses of partial uploads separated by spaces.',
  )

/** The path of an address, absolute or not. Not by `URL`, which takes ten milliseconds for a thousand. */
const PATH = /^(?:[a-z][a-z0-9+.-]*:)?(?:\/\/[^/?#]*)?([^?#]*)/i

/** By its path alone: a server behind proxies has many names. */
function idOf(address: string, path: string): UploadId | undefined {
  const [, pathname = ''] = PATH.exec(address) ?? []
  const end = pathname.lastIndexOf('/')
  return pathname.slice(0, Math.max(0, end)).endsWith(path)
    ? parseUploadId(pathname.slice(end + 1))
    : undefined
}
