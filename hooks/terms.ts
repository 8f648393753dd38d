import {
  type AcceptedTypes,
  acceptedByBoth,
  readAcceptedTypes,
  writeAcceptedTypes,
} from '../content/accepted-types.ts'
import type { UploadTerms } from '../ledger/schema.ts'
import { Refusal } from './refusal.ts'

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

/** The narrower of each limit. */
export function bothTerms(one: UploadTerms, other: UploadTerms): UploadTerms {
  const types = typesOfBoth(one.types, other.types)
  const sizes = [one.maxSize, other.maxSize].filter((size) => size !== undefined)
  const [until] = [one.until, other.until].filter((time) => time !== undefined).sort()
  return {
    ...(types === undefined ? {} : { types }),
    ...(sizes.length === 0 ? {} : { maxSize: Math.min(...sizes) }),
    ...(until === undefined ? {} : { until }),
  }
}

function typesOfBoth(one: string | undefined, other: string | undefined): string | undefined {
  const [first, second] = [one, other].map((types) =>
    types === undefined ? undefined : readAcceptedTypes(types),
  )
  if (first === undefined) return other
  if (second === undefined) return one
  const types = writeAcceptedTypes(acceptedByBoth(first, second))
  if (types === '')
    throw new Refusal('type-not-allowed', 'No type of file is accepted by both limits of this upload.')
  return types
}
