import { captionsIn, MAX_CAPTIONS, MAX_ID_CHARACTERS, type Metadata } from '../ledger/description.ts'
import { isReadKey } from '../ledger/metadata-keys.ts'

// Limits of what an application says of a file, at creation and later. Each check returns what is wrong, as the end of a
// sentence that begins with the name of the value; undefined where nothing is.

/** Of the metadata that is the application's own. Keys and values together: `bytes`, in UTF-8. */
export const METADATA_LIMITS = { keys: 64, keyBytes: 128, valueBytes: 4096, bytes: 8192 } as const

const TITLE_BYTES = 1024
const DESCRIPTION_BYTES = 8192
const MAX_LANGUAGE_CHARACTERS = 35

/** As keys of tus: visible ASCII without the comma. Programs that put it into objects would lose the other. */
const KEY = /^(?!__proto__$)[\x21-\x2b\x2d-\x7e]+$/

const TYPE = /^[a-z][a-z0-9_-]{0,63}$/
/** Control and format characters, line separators, and halves of characters. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u

const MAX_SHOWN = 80

/** A name from a client, as messages quote it. */
export const shownName = (name: string): string =>
  JSON.stringify(name.length > MAX_SHOWN ? `${name.slice(0, MAX_SHOWN)}…` : name)

/** Text that the ledger can hold, up to so many bytes. */
function textFault(text: string, maxBytes: number): string | undefined {
  if (text.includes('\0')) return 'contains a NUL character'
  if (!text.isWellFormed()) return 'contains half of a surrogate pair'
  return Buffer.byteLength(text) > maxBytes ? `is longer than ${maxBytes} bytes` : undefined
}

export const titleFault = (title: string): string | undefined => textFault(title, TITLE_BYTES)

export const descriptionFault = (description: string): string | undefined =>
  textFault(description, DESCRIPTION_BYTES)

export const attachedTypeFault = (type: string): string | undefined =>
  TYPE.test(type)
    ? undefined
    : 'takes a word of up to 64 lower-case letters, digits, "_" and "-" that begins with a letter'

export function attachedIdFault(id: string): string | undefined {
  const isPrintable = !UNPRINTABLE.test(id) && id === id.trim() && id !== ''
  return isPrintable && [...id].length <= MAX_ID_CHARACTERS
    ? undefined
    : `takes 1 to ${MAX_ID_CHARACTERS} printable characters, without a space at its ends`
}

export function captionsFault(tags: readonly string[]): string | undefined {
  if (tags.length > MAX_CAPTIONS) return `has more than ${MAX_CAPTIONS} languages`
  const wrong = tags.find((tag) => !isLanguage(tag))
  return wrong === undefined ? undefined : `takes language tags (BCP 47), and ${shownName(wrong)} is none`
}

/** The same of languages in one value, separated by commas. */
export function captionsTextFault(text: string): string | undefined {
  const tags = text.split(',').map((tag) => tag.replaceAll(' ', ''))
  return captionsFault(tags) ?? (captionsIn(text) ? undefined : 'takes language tags, separated by commas')
}

function isLanguage(tag: string): boolean {
  if (tag.length > MAX_LANGUAGE_CHARACTERS) return false
  try {
    return Intl.getCanonicalLocales(tag).length === 1
  } catch {
    // It throws for what is no tag.
    return false
  }
}

/** What is wrong with a key that a patch sets or removes, as a whole sentence. An earlier release may have taken a long one. */
export function patchedKeyFault(key: string): string | undefined {
  if (!KEY.test(key)) return keyShapeFault(key)
  if (!isReadKey(key)) return undefined
  return `The key ${shownName(key)} is read by Landfall and is not part of the metadata.`
}

const keyShapeFault = (key: string): string =>
  `The metadata key ${shownName(key)} is not allowed: a key takes visible ASCII characters without a comma.`

/** What is wrong with metadata, as a whole sentence that names the key and the limit. */
export function metadataFault(metadata: Metadata): string | undefined {
  let bytes = 0
  for (const [index, [key, value]] of Object.entries(metadata).entries()) {
    if (index >= METADATA_LIMITS.keys)
      return `The metadata has more than ${METADATA_LIMITS.keys} keys, of which ${shownName(key)} is one too many.`
    if (!KEY.test(key)) return keyShapeFault(key)
    const keyBytes = Buffer.byteLength(key)
    if (keyBytes > METADATA_LIMITS.keyBytes)
      return `The metadata key ${shownName(key)} is longer than ${METADATA_LIMITS.keyBytes} bytes.`
    const fault = value === null ? undefined : textFault(value, METADATA_LIMITS.valueBytes)
    if (fault !== undefined) return `The value of ${shownName(key)} ${fault}.`
    bytes += keyBytes + Buffer.byteLength(value ?? '')
    if (bytes > METADATA_LIMITS.bytes)
      return `The metadata is larger than ${METADATA_LIMITS.bytes} bytes, with ${shownName(key)}.`
  }
  return undefined
}
