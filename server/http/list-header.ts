/**
 * The elements of a header that is a comma-separated list (RFC 9110 § 5.6.1), as every recipient has to read it: blanks
 * around commas, empty elements and a comma at the end mean nothing. Node joins repeated lines by commas. An absent
 * header has no elements. Commas in quoted strings separate nothing.
 */
export function listElements(header: string | readonly string[] | undefined): string[] {
  const text = joined(header)
  return filled(text.includes('"') ? outsideQuotes(text) : text.split(','))
}

/** The same for a header whose elements hold no quoted strings: a quotation mark is a character like any other. */
export const plainElements = (header: string | readonly string[] | undefined): string[] =>
  filled(joined(header).split(','))

const joined = (header: string | readonly string[] = ''): string =>
  typeof header === 'string' ? header : header.join(',')

const filled = (parts: readonly string[]): string[] => parts.map(trimmed).filter((element) => element !== '')

/**
 * The value of a header that takes one, also where its line is repeated with the same value, as some proxies do.
 * Undefined where it is absent or empty; `'several'` where lines differ.
 */
export function singleElement(
  header: string | readonly string[] | undefined,
): { value: string } | 'several' | undefined {
  const [first, ...others] = new Set(listElements(header))
  if (first === undefined) return undefined
  return others.length > 0 ? 'several' : { value: first }
}

/** The media type in a header, in lower case and without parameters (RFC 9110 § 8.3.1). */
export const mediaTypeOf = (header: string | undefined): string | undefined =>
  header === undefined ? undefined : trimmed(header.split(';', 1)[0] ?? '').toLowerCase()

/** Without blanks at both ends: spaces and tabs only, which header values can have. In linear time. */
function trimmed(text: string): string {
  let from = 0
  let to = text.length
  while (from < to && isBlank(text.charCodeAt(from))) from++
  while (to > from && isBlank(text.charCodeAt(to - 1))) to--
  return text.slice(from, to)
}

const isBlank = (code: number): boolean => code === 0x20 || code === 0x09

/** Splits at commas outside of quoted strings (RFC 9110 § 5.6.4). An open quotation ends with the header. */
function outsideQuotes(text: string): string[] {
  const parts: string[] = []
  let from = 0
  let isQuoted = false
  for (let at = 0; at < text.length; at++) {
    const character = text[at]
    if (isQuoted && character === '\\') at++
    else if (character === '"') isQuoted = !isQuoted
    else if (character === ',' && !isQuoted) {
      parts.push(text.slice(from, at))
      from = at + 1
    }
  }
  return [...parts, text.slice(from)]
}
