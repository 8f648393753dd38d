/**
 * A regular expression of PostgreSQL for names that have this text somewhere, upper or lower case. The cases of a character
 * are those of Unicode, whatever the locale of the database is; no other character has a meaning.
 */
export const namePattern = (text: string): string => [...text].map(anyCase).join('')

function anyCase(character: string): string {
  const cases = [character, character.toLowerCase(), character.toUpperCase()].filter(isOne)
  const all = [...new Set(cases)].map(literal)
  return all.length === 1 ? `${all[0]}` : `[${all.join('')}]`
}

/** Such as the capital of "ß", which is two letters. */
const isOne = (text: string): boolean => [...text].length === 1

/** What is neither letter nor digit is quoted. */
const literal = (character: string): string =>
  /[!-/:-@[-`{-~]/.test(character) ? `\\${character}` : character
