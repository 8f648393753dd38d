import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { RejectionCode } from '../content/verdict.ts'
import { CATALOGUE } from '../server/http/errors.ts'

// A type has no values to go through: the compiler sees to it that this is all of them.
const rejections = {
  infected: true,
  'scan-limit-exceeded': true,
  'type-not-recognised': true,
  'type-not-allowed': true,
  'type-mismatch': true,
  polyglot: true,
  'digest-mismatch': true,
  'length-exceeded': true,
  'too-small': true,
  damaged: true,
  'no-media': true,
  encrypted: true,
  'too-long': true,
  'dimensions-too-small': true,
  'dimensions-too-large': true,
  'analysis-rejected': true,
  duplicate: true,
  'refused-by-hook': true,
} satisfies Record<RejectionCode, true>

const text = await readFile(join(import.meta.dirname, '..', 'docs', 'api.md'), 'utf8')

describe('docs/api.md', () => {
  it.each(Object.entries(CATALOGUE))(
    'names the code %s, with its status on the same line',
    (code, { status }) => {
      const lines = text.split('\n').filter((line) => line.includes(`\`${code}\``))
      expect(lines).not.toEqual([])
      expect(lines.some((line) => line.includes(String(status)))).toBe(true)
    },
  )

  it.each([...Object.keys(rejections), 'processing-failed', 'bytes-lost'])('names the reason %s', (code) => {
    expect(text).toContain(`\`${code}\``)
  })
})
