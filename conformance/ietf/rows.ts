import type { Declared } from '../kit/row.ts'
import { appendRows } from './append.ts'
import { appendRefusalRows } from './append-refusals.ts'
import { cancellationRows } from './cancellation.ts'
import { concurrencyRows } from './concurrency.ts'
import { creationRows } from './creation.ts'
import { contentCodingRows, contentDigestRows, reprDigestRows } from './digests.ts'
import { interimRows } from './interim.ts'
import { interruptionRows } from './interruption.ts'
import { lengthRows } from './length.ts'
import { limitRows } from './limits.ts'
import { offsetRows } from './offset.ts'
import { problemRows } from './problems.ts'

/** The IETF draft. They are put in the order of its sections when a version is chosen. */
export const ietfRows: readonly Declared[] = [
  ...lengthRows,
  ...limitRows,
  ...creationRows,
  ...offsetRows,
  ...appendRows,
  ...appendRefusalRows,
  ...interruptionRows,
  ...cancellationRows,
  ...concurrencyRows,
  ...interimRows,
  ...problemRows,
  ...contentCodingRows,
  ...reprDigestRows,
  ...contentDigestRows,
]
