/** Structured Fields (RFC 9651), as far as the headers of resumable uploads need them. */

const NUMBER = /-?\d{1,15}(?:\.\d{1,3})?/
const BOOLEAN = /\?[01]/
const STRING = /"(?:[^"\\]|\\["\\])*"/
const BYTES = /:[A-Za-z0-9+/=]*:/
const TOKEN = /[A-Za-z*][\w!#$%&'*+\-.^|~:/`]*/
const ITEM = [NUMBER, BOOLEAN, STRING, BYTES, TOKEN].map(({ source }) => source).join('|')
const KEY = /[a-z*][a-z0-9_.*-]*/.source
const PARAMETERS = `(?:; *${KEY}(?:=(?:${ITEM}))?)*`

/** The value of an Item that is an Integer; undefined when it is anything else. */
export function integerOf(field: string): number | undefined {
  const digits = new RegExp(`^(-?\\d{1,15})${PARAMETERS}$`).exec(field)?.[1]
  return digits === undefined ? undefined : Number(digits)
}

/** The value of an Item that is a Boolean; undefined when it is anything else. */
export function booleanOf(field: string): boolean | undefined {
  const digit = new RegExp(`^\\?([01])${PARAMETERS}$`).exec(field)?.[1]
  return digit === undefined ? undefined : digit === '1'
}

/** The members of a Dictionary, their values as they are written; undefined when it is none. */
export function dictionaryOf(field: string): ReadonlyMap<string, string> | undefined {
  const members = new Map<string, string>()
  const member = new RegExp(`(${KEY})(?:=(${ITEM}))?${PARAMETERS}[ \\t]*(,[ \\t]*(?=.)|$)`, 'y')
  if (field.trim() === '') return members
  while (member.lastIndex < field.length) {
    const [, key, value] = member.exec(field) ?? []
    if (key === undefined) return undefined
    members.set(key, value ?? '?1')
  }
  return members
}
