import { readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { variables } from '../server/config.ts'
import { CONFIGURATION_DOCS, configurationDocs } from './configuration-docs.ts'

describe('docs/configuration.md', () => {
  it('is what `node scripts/configuration-docs.ts` writes: run it after a change of server/config.ts', async () => {
    expect(await readFile(CONFIGURATION_DOCS, 'utf8')).toBe(configurationDocs())
  })

  it('has one row for every variable', () => {
    const rows = [...configurationDocs().matchAll(/^\| `(\w+)` \|/gm)].map((match) => match[1] ?? '')
    expect(rows.sort()).toEqual(Object.keys(variables.shape).sort())
  })

  it('shows the default, what is accepted and what it is for', () => {
    expect(configurationDocs()).toContain(
      '| `PORT` | `1080` | a whole number from 0 to 65535 | Port to listen on; 0 picks a free one. |',
    )
    expect(configurationDocs()).toContain(
      '| `QUOTA_BYTES` |  | a size such as 500MB (decimal) or 5GiB (binary) | Maximum number of bytes an owner may store. Unlimited without it. |',
    )
  })
})
