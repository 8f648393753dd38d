import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type MediaId, type OwnerId, ownerIn, type UploadId } from '../../ledger/ids.ts'
import { fillPrefix, renditionKey, unknownPlaceholders, uploadKey } from './keys.ts'

const at = new Date('2026-03-09T12:00:00Z')
const owner = (name: string) => name as OwnerId
const upload = 'AAAAAAAAAAAAAAAAAAAAAA' as UploadId
const media = 'BBBBBBBBBBBBBBBBBBBBBB' as MediaId

describe('a storage key', () => {
  it('begins with its prefix filled in', () => {
    const prefix = fillPrefix('in/{tenant}/{owner}/{yyyy}/{mm}/', {
      owner: ownerIn('acme', 'alice'),
      at,
    })
    expect(uploadKey(upload, prefix)).toBe(`in/acme/alice/2026/03/uploads/${upload}`)
  })

  it('keeps owners of two tenants apart, with and without a place for the tenant', () => {
    const of = (template: string) => fillPrefix(template, { owner: ownerIn('acme', 'alice'), at })
    expect(of('{owner}/')).toBe('acme/alice/')
    expect(of('{owner}/of/{tenant}/')).toBe('alice/of/acme/')
  })

  it('has a place for those without a tenant', () => {
    expect(fillPrefix('{tenant}/', { owner: owner('a'), at })).toBe('none/')
  })

  it.each(['../../etc', 'a/b', '', '.', '..', 'a\0b', 'ünï', '%2e%2e%2f', '{tenant}', 'x'.repeat(1000)])(
    'does not let an owner called %j out of its place',
    (name) => {
      expect(fillPrefix('{owner}/', { owner: owner(name), at })).toMatch(/^[A-Za-z0-9_-]{1,64}\/$/)
    },
  )

  it('keeps renditions under the prefix of their upload, whatever the owner is called', () => {
    fc.assert(
      fc.property(fc.string(), (name) => {
        const prefix = fillPrefix('x/{owner}/', { owner: owner(name), at })
        const key = renditionKey({ id: media, storage_key: uploadKey(upload, prefix) }, 'thumbnail.webp')
        expect(key).toBe(`${prefix}renditions/${media}/thumbnail.webp`)
      }),
    )
    expect(renditionKey({ id: media, storage_key: uploadKey(upload, 'uploads/') }, 'thumbnail.webp')).toBe(
      `uploads/renditions/${media}/thumbnail.webp`,
    )
  })

  it('knows four placeholders', () => {
    expect(unknownPlaceholders('{owner}{tenant}{yyyy}{mm}{dd}{}')).toEqual(['dd', ''])
  })
})
