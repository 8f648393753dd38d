import { customMetadata, type Metadata, NON_VALUES } from '../ledger/description.ts'
import { DESCRIPTION_KEYS, isFileKey, type ReadKey } from '../ledger/metadata-keys.ts'
import {
  attachedIdFault,
  attachedTypeFault,
  captionsTextFault,
  descriptionFault,
  metadataFault,
  shownName,
  titleFault,
} from './description-limits.ts'
import { Refusal } from './refusal.ts'

/** What a client declares about its file. Data, never a path, a header or a key. */
export type Declaration = { filename: string | null; declaredType: string | null }

const MAX_ENTRIES = 64
/** Of values that say what the file is. */
const MAX_VALUE_CHARACTERS = 4096
const MAX_FILENAME_CHARACTERS = 255

/**
 * Checks the metadata of an upload against what the ledger can hold, and what it says of the file against its limits.
 * Fails with `invalid-metadata`, naming the key and the limit.
 */
export function checkMetadata(metadata: Metadata): void {
  const fault =
    entriesFault(metadata) ?? metadataFault(customMetadata(metadata)) ?? descriptionKeyFault(metadata)
  if (fault !== undefined) throw new Refusal('invalid-metadata', fault)
}

function entriesFault(metadata: Metadata): string | undefined {
  const entries = Object.entries(metadata)
  const [surplus] = entries[MAX_ENTRIES] ?? []
  if (surplus !== undefined)
    return `At most ${MAX_ENTRIES} metadata entries are accepted, and ${shownName(surplus)} is one too many.`
  for (const [key, value] of entries) {
    if (value === null || !isFileKey(key)) continue
    if (value.length > MAX_VALUE_CHARACTERS)
      return `The value of "${key}" is longer than ${MAX_VALUE_CHARACTERS} characters.`
    if (!value.isWellFormed()) return `The value of "${key}" contains half of a surrogate pair.`
    // Postgres text cannot contain NUL.
    if (value.includes('\0')) return `The value of "${key}" contains a NUL character.`
  }
  return undefined
}

const CHECKS = {
  attachedToType: attachedTypeFault,
  attachedToId: attachedIdFault,
  title: titleFault,
  description: descriptionFault,
  captions: captionsTextFault,
} satisfies Record<(typeof DESCRIPTION_KEYS)[number], (value: string) => string | undefined>

/** What is wrong with the values that describe the file. */
function descriptionKeyFault(metadata: Metadata): string | undefined {
  const has = (key: keyof typeof CHECKS) => !NON_VALUES.has(metadata[key] ?? '')
  for (const key of DESCRIPTION_KEYS) {
    const fault = has(key) ? CHECKS[key](metadata[key] ?? '') : undefined
    if (fault !== undefined) return `The value of "${key}" ${fault}.`
  }
  if (has('attachedToType') && !has('attachedToId'))
    return 'The key "attachedToId" is missing, without which "attachedToType" says nothing.'
  if (has('attachedToId') && !has('attachedToType'))
    return 'The key "attachedToType" is missing, without which "attachedToId" says nothing.'
  return undefined
}

/** Name and type as known clients send them: `filename`/`name`, `filetype`/`type` (Uppy sends both). */
export function readDeclaration(metadata: Record<string, string | null>): Declaration {
  const {
    filename,
    name: otherName,
    filetype,
    type: otherType,
  }: Partial<Record<ReadKey, string | null>> = metadata
  // A file may be called "null": such a name counts where there is no other.
  const name = meant(filename) ?? meant(otherName) ?? (filename || otherName || undefined)
  const type = meant(filetype) ?? meant(otherType)
  return {
    filename: name === undefined ? null : displayName(name),
    declaredType: type === undefined || !TYPE.test(type) || ANY_TYPE.test(type) ? null : type,
  }
}

/** RFC 9110 § 8.3.1. Some clients send an extension, or a word such as `video`. */
const TYPE = /^\s*[^\s/;]+\/[^\s/;]+\s*(?:;.*)?$/

/** Types that only say that a file has bytes. */
const ANY_TYPE =
  /^\s*(?:(?:application|binary|unknown|content|\*)\/(?:octet-stream|octetstream|binary|x-binary|unknown|x-unknown|x-download|force-download|\*))\s*(?:;.*)?$/i

/** A value that its client has; undefined for what only stands for none. */
const meant = (text: string | null | undefined): string | undefined =>
  text === null || text === undefined || NON_VALUES.has(text.trim()) ? undefined : text

/**
 * Characters that do not show, or change the direction of what follows. Joiners stay, as Persian words and many emoji are
 * written with them; so do marks that show although Unicode calls them format characters, and the letters in a flag.
 */
const INVISIBLE =
  /(\u{1f3f4}[\u{e0030}-\u{e007a}]{2,7}\u{e007f})|(?!\u200c|\u200d|[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\u{110bd}\u{110cd}])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu

/** The last segment of a name without invisible characters, for display only; null where nothing is left. */
export function displayName(name: string): string | null {
  const segment = name.split(/[\\/]/).at(-1) ?? ''
  const printable = segment.replace(INVISIBLE, '$1').trim()
  const shortened = printable.length > MAX_FILENAME_CHARACTERS ? shorten(printable) : printable
  return shortened === '' || shortened === '.' || shortened === '..' ? null : shortened
}

/** Keeps the extension of a long name. */
function shorten(name: string): string {
  const extension = /\.[^.]{1,10}$/.exec(name)?.[0] ?? ''
  return name.slice(0, MAX_FILENAME_CHARACTERS - extension.length).toWellFormed() + extension
}
