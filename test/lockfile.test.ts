import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'

it('package-lock.json has a SHA-512 of every package that npm installs', () => {
  const text = readFileSync(join(import.meta.dirname, '..', 'package-lock.json'), 'utf8')
  const { packages } = JSON.parse(text) as { packages: Record<string, { integrity?: string }> }
  const unverified = Object.entries(packages)
    .filter(([path, { integrity = '' }]) => path !== '' && !/^sha512-[A-Za-z0-9+/]{86}==$/.test(integrity))
    .map(([path]) => path)
  expect(unverified).toEqual([])
})
