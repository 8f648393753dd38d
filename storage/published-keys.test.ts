import { describe, expect, it } from 'vitest'
import type { MediaId, OwnerId } from '../ledger/ids.ts'
import { pathBelowPrefix, publishedKey } from './store/keys.ts'

const media = {
  id: 'BBBBBBBBBBBBBBBBBBBBBB' as MediaId,
  owner_id: '../alice' as OwnerId,
  created_at: new Date('2026-12-31T23:59:59Z'),
}

describe('the key of a public copy', () => {
  it.each([
    ['public/', `public/${media.id}.mp4`],
    ['public/{tenant}/{owner}/{yyyy}/{mm}/', `public/none/___alice/2026/12/${media.id}.mp4`],
    ['', `${media.id}.mp4`],
  ])('is made of the prefix %j', (prefix, key) => {
    expect(publishedKey(prefix, media, 'mp4')).toBe(key)
  })
})

describe('the path of a public copy below its prefix', () => {
  it.each([
    ['public/', 'public/x.mp4', 'x.mp4'],
    ['public/{owner}/', 'public/alice/x.mp4', 'alice/x.mp4'],
    // No origin has a path that ends within a name.
    ['site/of-{owner}/', 'site/of-alice/x.mp4', 'of-alice/x.mp4'],
    ['{owner}/', 'alice/x.mp4', 'alice/x.mp4'],
    ['', 'x.mp4', 'x.mp4'],
    ['public/', 'elsewhere/x.mp4', undefined],
    ['public/', 'publicity/x.mp4', undefined],
  ])('with %j of %s is %s', (prefix, key, path) => {
    expect(pathBelowPrefix(prefix, key)).toBe(path)
  })
})
