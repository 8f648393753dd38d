import { type AcceptedTypes, acceptedByBoth, readAcceptedTypes } from '../content/accepted-types.ts'
import type { UploadTerms } from '../ledger/schema.ts'

type Limits = { maxSize: number; accepted: AcceptedTypes }

/** The limits of an upload: those of the server, and its own where they are narrower. `null`: it has none. */
export function limitsUnder<L extends Partial<Limits>>(limits: L, terms: UploadTerms | null): L {
  if (!terms) return limits
  const { accepted, maxSize } = limits
  const types = terms.types === undefined ? undefined : readAcceptedTypes(terms.types)
  return {
    ...limits,
    ...(maxSize === undefined ? {} : { maxSize: Math.min(maxSize, terms.maxSize ?? maxSize) }),
    ...(accepted && types ? { accepted: acceptedByBoth(accepted, types) } : {}),
  }
}

/** The narrower of each limit. Only one of them has types. */
export function bothTerms(one: UploadTerms, other: UploadTerms): UploadTerms {
  const sizes = [one.maxSize, other.maxSize].filter((size) => size !== undefined)
  const [until] = [one.until, other.until].filter((time) => time !== undefined).sort()
  return {
    ...other,
    ...one,
    ...(sizes.length === 0 ? {} : { maxSize: Math.min(...sizes) }),
    ...(until === undefined ? {} : { until }),
  }
}
