import { type MediaId, newUploadId, type OwnerId, ownerOf, type UploadId } from '../../ledger/ids.ts'

// The last segments of a key are made of our own ids only. Values from a token are reduced to letters, digits, `-` and
// `_`, so that none leaves its place in the key.

/** Values for the placeholders of a prefix. */
export type KeyNames = { owner: OwnerId; at: Date }

const PLACEHOLDERS = ['owner', 'tenant', 'yyyy', 'mm'] as const
const SEGMENT_CHARACTERS = 64

/** Placeholders that a prefix template may not contain. */
export function unknownPlaceholders(template: string): string[] {
  return [...template.matchAll(/\{([^{}]*)\}/g)]
    .map(([, name = '']) => name)
    .filter((name) => !PLACEHOLDERS.some((known) => known === name))
}

/**
 * Fills in `{owner}`, `{tenant}`, `{yyyy}` and `{mm}` (UTC). A missing tenant is `none`. Where the template has no
 * `{tenant}`, that of the owner comes before its name: what is granted by prefix stays within a tenant.
 */
export function fillPrefix(template: string, { owner, at }: KeyNames): string {
  const { ownerId, tenantId } = ownerOf(owner)
  const hasTenant = tenantId === null || template.includes('{tenant}')
  const values: Record<(typeof PLACEHOLDERS)[number], string> = {
    owner: hasTenant ? asSegment(ownerId) : `${asSegment(tenantId)}/${asSegment(ownerId)}`,
    tenant: asSegment(tenantId ?? 'none'),
    yyyy: String(at.getUTCFullYear()).padStart(4, '0'),
    mm: String(at.getUTCMonth() + 1).padStart(2, '0'),
  }
  return template.replace(/\{(owner|tenant|yyyy|mm)\}/g, (_, name: keyof typeof values) => values[name])
}

const asSegment = (name: string): string =>
  name.replaceAll(/[^A-Za-z0-9_-]/g, '_').slice(0, SEGMENT_CHARACTERS) || '_'

const UPLOADS = 'uploads/'

/** The key of an upload's bytes. `prefix` is filled in, and empty or ends in a slash. */
export const uploadKey = (id: UploadId, prefix = ''): string => `${prefix}${UPLOADS}${id}`

/** A new key beside the uploads of a prefix template, which none of them has. */
export const newProbeKey = (template: string): string =>
  `${template.replaceAll(/\{[^{}]*\}/g, '_')}${UPLOADS}probe-${newUploadId()}`

/** Where a form puts the bytes of an upload: nothing else is stored there. `key`: that of the upload. */
export const formKey = (key: string): string => `${key}${FORM}`

/** A new key for a copy of what a form has put. A copy that comes late replaces nothing. */
export const newCopyKey = (form: string): string => `${form.slice(0, -FORM.length)}${COPY}${newUploadId()}`

export const isCopyKey = (key: string): boolean => key.lastIndexOf(COPY) > key.lastIndexOf('/')

const FORM = '.form'
const COPY = '.copy-'

/** How many widths a thumbnail may have. */
export const MAX_THUMBNAILS = 4

/** Numbers of the HLS renditions of a video, the largest picture first. */
export const HLS_NUMBERS = [1, 2, 3, 4, 5, 6] as const
export type HlsNumber = (typeof HLS_NUMBERS)[number]

/**
 * Kinds of renditions, each with the name of its object. Names are never removed from this list. The public copy, of
 * the kind `published`, has its own key.
 */
export const RENDITIONS = {
  /** In the first of the configured widths: the one with a link. */
  thumbnail: 'thumbnail.webp',
  'thumbnail-jpeg': 'thumbnail.jpg',
  'thumbnail-2': 'thumbnail-2.webp',
  'thumbnail-2-jpeg': 'thumbnail-2.jpg',
  'thumbnail-3': 'thumbnail-3.webp',
  'thumbnail-3-jpeg': 'thumbnail-3.jpg',
  'thumbnail-4': 'thumbnail-4.webp',
  'thumbnail-4-jpeg': 'thumbnail-4.jpg',
  storyboard: 'storyboard.jpg',
  'storyboard-cues': 'storyboard.vtt',
  waveform: 'waveform.json',
  /** An image in its own format without metadata. */
  image: 'image',
  /** The master playlist: where it exists, all renditions do. */
  hls: 'hls.m3u8',
  'hls-1': 'hls-1.mp4',
  'hls-1-playlist': 'hls-1.m3u8',
  'hls-2': 'hls-2.mp4',
  'hls-2-playlist': 'hls-2.m3u8',
  'hls-3': 'hls-3.mp4',
  'hls-3-playlist': 'hls-3.m3u8',
  'hls-4': 'hls-4.mp4',
  'hls-4-playlist': 'hls-4.m3u8',
  'hls-5': 'hls-5.mp4',
  'hls-5-playlist': 'hls-5.m3u8',
  'hls-6': 'hls-6.mp4',
  'hls-6-playlist': 'hls-6.m3u8',
} as const
export type RenditionKind = keyof typeof RENDITIONS

export const isRenditionKind = (kind: string): kind is RenditionKind => Object.hasOwn(RENDITIONS, kind)

/**
 * Every name under which a step may have stored a rendition, recorded or not: all are removed with their media item.
 */
export const RENDITION_NAMES = Object.values(RENDITIONS)

/** The key of a rendition: beside the uploads of the same prefix. */
export function renditionKey(
  media: { id: MediaId; storage_key: string },
  name: (typeof RENDITION_NAMES)[number],
): string {
  const prefix = media.storage_key.slice(0, media.storage_key.lastIndexOf(UPLOADS))
  return `${prefix}renditions/${media.id}/${name}`
}

/** The key of a public copy. Year and month are those in which its upload was received. */
export function publishedKey(
  template: string,
  media: { id: MediaId; owner_id: OwnerId; created_at: Date },
  extension: string,
): string {
  const { owner_id: owner, created_at: at } = media
  return `${fillPrefix(template, { owner, at })}${media.id}.${extension}`
}

/** The part of a prefix template before its first placeholder. */
export const literalPrefixOf = (template: string): string => template.split('{', 1)[0] ?? ''

/**
 * A public key relative to the directories at the beginning of the template, before its first placeholder, which a CDN
 * has as the path of its origin. Undefined for a key outside of them.
 */
export function pathBelowPrefix(template: string, key: string): string | undefined {
  const literal = literalPrefixOf(template)
  const directories = literal.slice(0, literal.lastIndexOf('/') + 1)
  return key.startsWith(directories) ? key.slice(directories.length) : undefined
}
