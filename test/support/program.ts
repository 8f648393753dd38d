import { existsSync } from 'node:fs'
import { join } from 'node:path'

/** The program of a checkout of Landfall; that of an earlier release is elsewhere. */
export function programOf(checkout: string): string {
  const program = join(checkout, 'landfall.ts')
  return existsSync(program) ? program : join(checkout, 'server', 'main.ts')
}
