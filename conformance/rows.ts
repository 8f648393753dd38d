import { ietfRows } from './ietf/rows.ts'
import type { Row } from './kit/row.ts'
import { tusRows } from './tus/rows.ts'

export const rows: readonly Row[] = [...tusRows, ...ietfRows]
