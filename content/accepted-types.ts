import { type Format, formatOfType, KNOWN } from './formats.ts'

/** Which files may be uploaded. */
export type AcceptedTypes = {
  /** Formats of our table. */
  formats: readonly Format[]
  // Such as `text/csv`, `text/*` and `*/*`. Files of these are not looked into.
  others: readonly string[]
}

const ANYTHING = '*/*'
const TYPE = /^[a-z0-9][\w!#$&^.+-]*\/[a-z0-9][\w!#$&^.+-]*$/
const RANGE = /^([a-z]+)\/\*$/
/** Of these only the formats of our table are accepted: the others would be taken for media that nobody has checked. */
const MEDIA = /^(?:video|audio|image)\//

/**
 * Reads a list of media types and ranges, such as `video/mp4`, `image/*` and `application/pdf`. Undefined where one is
 * not valid, or is of a video, sound or picture that is not in our table.
 */
export function readAcceptedTypes(list: string): AcceptedTypes | undefined {
  const items = list.split(',').map((item) => item.trim().toLowerCase())
  const formats = new Set<Format>()
  const others = new Set<string>()
  for (const item of items) {
    const range = RANGE.exec(item)?.[1]
    const exact = formatOfType(KNOWN, item)
    const chosen = exact ? [exact] : KNOWN.filter((format) => isWithin(format, item, range))
    for (const format of chosen) formats.add(format)
    if (exact) continue
    if (
      item !== ANYTHING &&
      (MEDIA.test(item) ? chosen.length === 0 : !TYPE.test(item) && range === undefined)
    )
      return undefined
    if (!MEDIA.test(item)) others.add(item)
  }
  return { formats: KNOWN.filter((format) => formats.has(format)), others: [...others] }
}

/** As `readAcceptedTypes` reads it; empty where nothing is accepted. */
export const writeAcceptedTypes = ({ formats, others }: AcceptedTypes): string =>
  [...new Set([...formats.map(({ contentType }) => contentType), ...others])].join(',')

/** Whether a format of ours is in a range of media types: `video/*` is what is a video, whatever its type is called. */
function isWithin({ kind, contentType }: Format, item: string, range: string | undefined): boolean {
  if (item === ANYTHING) return true
  return (
    range !== undefined &&
    (kind === range || (!MEDIA.test(contentType) && contentType.startsWith(`${range}/`)))
  )
}

/** What both lists accept. */
export function acceptedByBoth(one: AcceptedTypes, other: AcceptedTypes): AcceptedTypes {
  const others = one.others.flatMap((item) => other.others.map((more) => narrower(item, more)))
  return {
    formats: KNOWN.filter((format) => accepts(one, format) && accepts(other, format)),
    others: [...new Set(others)].filter((item) => item !== undefined),
  }
}

/** The narrower of two types or ranges; undefined where they have nothing in common. */
function narrower(one: string, other: string): string | undefined {
  if (one === other || covers(other, one)) return one
  return covers(one, other) ? other : undefined
}

const covers = (range: string, item: string): boolean =>
  range === ANYTHING || (range.endsWith('/*') && item.startsWith(range.slice(0, -1)))

/** Whether files of this format are accepted. */
export const accepts = ({ formats, others }: AcceptedTypes, { contentType }: Format): boolean =>
  formats.some((one) => one.contentType === contentType) || isOther(others, contentType)

/** Whether a file that begins like this format may turn out to be of an accepted one, once its streams are known. */
export const mayAccept = (accepted: AcceptedTypes, format: Format): boolean =>
  accepts(accepted, format) || accepted.formats.some((one) => one.contentType === format.counterpart)

/** Whether files are accepted that are none of our media formats. */
export const acceptsDocuments = ({ formats, others }: AcceptedTypes): boolean =>
  others.length > 0 || formats.some(({ kind }) => kind === 'document' || kind === 'file')

export const acceptsAnything = ({ others }: AcceptedTypes): boolean => others.includes(ANYTHING)

function isOther(others: readonly string[], contentType: string): boolean {
  if (MEDIA.test(contentType)) return others.includes(ANYTHING)
  const range = `${contentType.split('/', 1)[0]}/*`
  return [contentType, range, ANYTHING].some((one) => others.includes(one))
}
