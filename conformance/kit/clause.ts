/**
 * What a standard says, in its own words. A row asks for nothing that no clause says, and its level is that of its
 * clause: tests hold the level against the words of the quotation.
 */

/** How strongly it is asked for (RFC 2119). Only a MUST that is not met fails a run; ADVICE is what no text demands. */
export type Level = 'MUST' | 'SHOULD' | 'MAY' | 'ADVICE'

/**
 * Where the level comes from: a key word of the quotation; what the text defines a header or request to mean; a choice
 * that the text gives to clients, with which servers have to interoperate (RFC 2119 § 5); or experience alone.
 */
export type Basis = 'key word' | 'definition' | 'choice of the client' | 'experience'

export type Clause = {
  standard: string
  section: string
  level: Level
  basis: Basis
  /** Verbatim, but for "…" where something is left out. The reason, for what rests on experience. */
  quote: string
  /** Several drafts share an interop version, and not all of them ask for it: a server cannot be failed for it. */
  isOfSomeDrafts?: boolean
}

/** Marks a clause as one that some drafts of its interop version do not have. */
export const ofSomeDrafts = (clause: Clause): Clause => ({ ...clause, isOfSomeDrafts: true })

type Writer = (section: string, quote: string) => Clause

export type Clauses = {
  must: Writer
  should: Writer
  may: Writer
  /** The text has no key word, and a server that does otherwise says something that is not so. */
  means: Writer
  /** The text lets clients choose: a server has to cope with either. */
  choice: Writer
  /** No text demands it; clients in the field are better off with it. */
  advice: Writer
}

/** Writes clauses of one standard. */
export function clausesOf(standard: string): Clauses {
  const writer =
    (level: Level, basis: Basis): Writer =>
    (section, quote) => ({ standard, section, level, basis, quote })
  return {
    must: writer('MUST', 'key word'),
    should: writer('SHOULD', 'key word'),
    may: writer('MAY', 'key word'),
    means: writer('MUST', 'definition'),
    choice: writer('MUST', 'choice of the client'),
    advice: writer('ADVICE', 'experience'),
  }
}

const KEY_WORDS: Partial<Record<Level, RegExp>> = {
  MUST: /\b(MUST|SHALL|REQUIRED)\b/,
  // tus 1.0 writes one of its recommendations in small letters.
  SHOULD: /\b(SHOULD|RECOMMENDED|Recommended|should)\b/,
  MAY: /\b(MAY|OPTIONAL|can)\b/,
}

/** Whether the quotation has the key word that gives the clause its level. */
export function hasItsKeyWord({ basis, level, quote }: Clause): boolean {
  if (basis === 'choice of the client') return /\b(MAY|may|can|SHOULD)\b/.test(quote)
  return basis !== 'key word' || KEY_WORDS[level]?.test(quote) === true
}
