import fc from 'fast-check'
import { ROUTES } from '../../server/api/table.ts'
import { MEDIA_ID, UPLOAD_ID } from '../../server/routes/param.ts'
import { body, emptyBody, noBody, restOf } from './bodies.ts'
import { type DrawnBody, type HeaderLine, PLACES } from './drawn.ts'
import * as values from './values.ts'

// Good requests of each protocol, as far as an upload is in the state that they are for.

export const OFFSET_STREAM = 'application/offset+octet-stream'
export const PARTIAL_UPLOAD = 'application/partial-upload'

/** A request without what every request has. */
export type Base = { method: string; path: string; headers: readonly HeaderLine[]; body: DrawnBody }

/** Null but for one in so many. */
const sometimes = <T>(arbitrary: fc.Arbitrary<T>, oneIn: number): fc.Arbitrary<T | null> =>
  fc.oneof({ weight: oneIn - 1, arbitrary: fc.constant(null) }, { weight: 1, arbitrary })

const TUS: HeaderLine = ['Tus-Resumable', '1.0.0']
const place = fc.constantFrom(...PLACES)
const draftVersion = fc.constantFrom('6', '8', '8', '7', '9')
const digest = sometimes(
  fc
    .tuple(fc.constantFrom('Content-Digest', 'Repr-Digest'), values.digests)
    .map(([name, value]): HeaderLine => [name, value]),
  4,
)

const created = (more: readonly HeaderLine[], withBody: fc.Arbitrary<DrawnBody>): fc.Arbitrary<Base> =>
  fc.record({ metadata: values.goodMetadata, body: withBody }).map(({ metadata, body }) => ({
    method: 'POST',
    path: '/files',
    headers: [TUS, ['Upload-Metadata', metadata], ...more],
    body,
  }))

const tusCreation = fc.oneof(
  created([['Upload-Length', '9000']], noBody),
  created(
    [
      ['Upload-Length', '9000'],
      ['Content-Type', OFFSET_STREAM],
    ],
    body,
  ),
  created([['Upload-Defer-Length', '1']], emptyBody),
  created(
    [
      ['Upload-Length', '9000'],
      ['Upload-Concat', 'partial'],
    ],
    emptyBody,
  ),
  values.concats.chain((concat) => created([['Upload-Concat', concat]], noBody)),
)

const tusAppend: fc.Arbitrary<Base> = fc
  .record({
    place,
    offset: fc.constantFrom('0', '4500', '9000'),
    body: fc.oneof(body, restOf(9000), restOf(4500)),
    checksum: sometimes(values.checksums, 3),
    isTrailer: fc.boolean(),
  })
  .map(({ place, offset, body, checksum, isTrailer }) => ({
    method: 'PATCH',
    path: `/files/{${place}}`,
    headers: [
      TUS,
      ['Upload-Offset', place === 'half' ? '4500' : offset],
      ['Content-Type', OFFSET_STREAM],
      ...(checksum === null ? [] : [['Upload-Checksum', checksum] as const]),
      ...(isTrailer && body.framing.kind === 'chunked' ? [['Trailer', 'Upload-Checksum'] as const] : []),
    ],
    body,
  }))

const tusOther: fc.Arbitrary<Base> = fc
  .record({
    method: fc.constantFrom('HEAD', 'HEAD', 'DELETE', 'GET', 'OPTIONS', 'POST'),
    place,
    body: noBody,
  })
  .map(({ method, place, body }) => ({ method, path: `/files/{${place}}`, headers: [TUS], body }))

const draftCreation: fc.Arbitrary<Base> = fc
  .record({
    version: draftVersion,
    complete: fc.constantFrom('?1', '?0'),
    body,
    disposition: sometimes(values.dispositions, 2),
    digest,
  })
  .map(({ version, complete, body, disposition, digest }) => ({
    method: 'POST',
    path: '/files',
    headers: [
      ['Upload-Draft-Interop-Version', version],
      ['Upload-Complete', complete],
      ...(disposition === null ? [] : [['Content-Disposition', disposition] as const]),
      ...(digest === null ? [] : [digest]),
    ],
    body,
  }))

const draftAppend: fc.Arbitrary<Base> = fc
  .record({
    version: draftVersion,
    place: fc.oneof(place, fc.constantFrom('draft-open' as const, 'draft-half' as const)),
    offset: fc.constantFrom('0', '4500', '9000'),
    complete: fc.constantFrom('?1', '?0'),
    body: fc.oneof(body, restOf(9000), restOf(4500)),
    digest,
  })
  .map(({ version, place, offset, complete, body, digest }) => ({
    method: 'PATCH',
    path: `/files/{${place}}`,
    headers: [
      ['Upload-Draft-Interop-Version', version],
      ['Upload-Complete', complete],
      ['Upload-Offset', place === 'draft-half' ? '4500' : offset],
      ['Content-Type', PARTIAL_UPLOAD],
      ...(digest === null ? [] : [digest]),
    ],
    body,
  }))

const draftOther: fc.Arbitrary<Base> = fc
  .record({
    method: fc.constantFrom('HEAD', 'DELETE', 'GET', 'OPTIONS'),
    version: draftVersion,
    place,
    body: noBody,
  })
  .map(({ method, version, place, body }) => ({
    method,
    path: `/files/{${place}}`,
    headers: [['Upload-Draft-Interop-Version', version]],
    body,
  }))

/** Of all routes but those that the bases above ask for, and three of none. */
const API_PATHS = [...new Set(ROUTES.map(({ path }) => path)), '/api/v1/nothing', '/api', '/'].filter(
  (path) => !path.startsWith('/files'),
)
const apiPaths = fc.constantFrom(...API_PATHS).chain((path) => {
  const params = ROUTES.find((route) => route.path === path)?.params ?? {}
  return fc.record({ upload: place, media: fc.constantFrom('media', 'unknown') }).map(({ upload, media }) =>
    path.replaceAll(/:(\w+)/g, (_, name: string) => {
      const param = params[name]
      if (param === UPLOAD_ID) return `{${upload}}`
      return param === MEDIA_ID ? `{${media}}` : (param?.sample() ?? '')
    }),
  )
})
const api: fc.Arbitrary<Base> = fc
  .record({
    method: fc.constantFrom('GET', 'GET', 'GET', 'HEAD', 'DELETE', 'POST', 'OPTIONS'),
    path: apiPaths,
    query: sometimes(values.queries, 2),
    lastEvent: sometimes(values.numbers, 4),
    body: noBody,
  })
  .map(({ method, path, query, lastEvent, body }) => ({
    method,
    path: query === null ? path : `${path}?${query}`,
    headers: lastEvent === null ? [] : [['Last-Event-ID', lastEvent]],
    body,
  }))

export const base: fc.Arbitrary<Base> = fc.oneof(
  { weight: 4, arbitrary: tusCreation },
  { weight: 6, arbitrary: tusAppend },
  { weight: 3, arbitrary: tusOther },
  { weight: 3, arbitrary: draftCreation },
  { weight: 4, arbitrary: draftAppend },
  { weight: 2, arbitrary: draftOther },
  { weight: 3, arbitrary: api },
)
