import { isReadKey, type ReadKey } from './metadata-keys.ts'
import type { MediaTable } from './schema.ts'

/** Null is a key without a value. */
export type Metadata = Record<string, string | null>

/** What an application attaches a file to, in its own terms. */
export type AttachedTo = { type: string; id: string }

/** What an application says of a file. */
export type Description = {
  attachedTo: AttachedTo | null
  title: string | null
  description: string | null
  /** Languages, as BCP 47 tags; null where it says nothing of them. */
  captions: string[] | null
  /** Of keys that Landfall does not read. */
  metadata: Metadata
}

/** What programs make of a value that they do not have, when it becomes text: JavaScript, Python, Go, Objective-C. */
export const NON_VALUES: ReadonlySet<string> = new Set([
  '',
  'null',
  'undefined',
  'NaN',
  '[object Object]',
  'None',
  'nil',
  '<nil>',
  '(null)',
])

const TYPE = /^[a-z][a-z0-9_-]{0,63}$/
/** Code points. */
export const MAX_ID_CHARACTERS = 255
const LANGUAGE = /^ *[A-Za-z0-9]{1,8}(?:-[A-Za-z0-9]{1,8}){0,8} *$/
export const MAX_CAPTIONS = 64

/**
 * The description in the metadata of an upload. The function `landfall.described` reads it in the same way, when the
 * media item is made. What is of no use is left out: an earlier release has checked none of it.
 */
export function describeUpload(metadata: Metadata): Description {
  const said = (key: ReadKey): string | null => {
    const value = metadata[key] ?? null
    return value === null || NON_VALUES.has(value) ? null : value
  }
  return {
    attachedTo: attachmentOf(said('attachedToType'), said('attachedToId')),
    title: said('title'),
    description: said('description'),
    captions: captionsIn(said('captions')) ?? null,
    metadata: customMetadata(metadata),
  }
}

/** The metadata without the keys that Landfall reads. */
export const customMetadata = (metadata: Metadata): Metadata =>
  Object.fromEntries(Object.entries(metadata).filter(([key]) => !isReadKey(key)))

function attachmentOf(type: string | null, id: string | null): AttachedTo | null {
  if (type === null || id === null) return null
  return TYPE.test(type) && [...id].length <= MAX_ID_CHARACTERS ? { type, id } : null
}

/** The languages in a value of `captions`, separated by commas; undefined where it is no such list. */
export function captionsIn(value: string | null): string[] | undefined {
  const tags = value?.split(',') ?? []
  if (tags.length === 0 || tags.length > MAX_CAPTIONS || !tags.every((tag) => LANGUAGE.test(tag)))
    return undefined
  return tags.map((tag) => tag.replaceAll(' ', ''))
}

type Described = Pick<
  MediaTable,
  'attached_type' | 'attached_id' | 'title' | 'description' | 'told_captions'
> & { metadata: Metadata | null }

/** The description of a media item: that of its upload, as it was changed since. */
export const describeMedia = (media: Described): Description => ({
  attachedTo:
    media.attached_type === null || media.attached_id === null
      ? null
      : { type: media.attached_type, id: media.attached_id },
  title: media.title,
  description: media.description,
  captions: media.told_captions,
  // Null: it has none, or a migration has not come to it.
  metadata: media.metadata ?? {},
})
