import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type MediaId, newMediaId } from '../ledger/ids.ts'
import { type LinkMembers, linkText, signedPath } from './signed-path.ts'

describe('the text that is signed', () => {
  const anyText = fc.oneof(
    fc.string({ unit: 'grapheme' }),
    fc.string(),
    fc.constantFrom(
      '',
      '\n',
      'content',
      'hls/1.mp4',
      'a?expires=1',
      '&link=x',
      'a&filename=b',
      '%26',
      '/',
      "!'()*",
      '\n1',
    ),
  )
  const link = fc.record({
    id: fc.constantFrom<MediaId>(newMediaId(), newMediaId()),
    target: anyText,
    members: fc.record(
      {
        expires: fc.integer({ min: 0, max: 99 }),
        link: anyText,
        key: anyText,
        disposition: anyText,
        filename: anyText,
      },
      { requiredKeys: ['expires'] },
    ),
  })
  type Link = { id: MediaId; target: string; members: LinkMembers }
  const textOf = ({ id, target, members }: Link) => linkText(id, target, members)

  /** The link of a text. As there is a way back from each text, no two links have the same. */
  function linkOf(text: string): Link {
    if (!text.startsWith('/')) {
      const lines = text.split('\n')
      const [id, expires] = [lines.shift() as MediaId, Number(lines.pop())]
      return { id, target: lines.join('\n'), members: { expires } }
    }
    const [path = '', query = ''] = text.split('?')
    const [id, ...target] = path.replace('/api/v1/media/', '').split('/')
    const pairs = query.split('&').map((pair) => pair.split('=').map(decodeURIComponent))
    const { expires, ...others } = Object.fromEntries(pairs) as Record<string, string>
    return {
      id: id as MediaId,
      target: target.map(decodeURIComponent).join('/'),
      members: { ...others, expires: Number(expires) },
    }
  }

  it('is that of one link only', () => {
    fc.assert(
      fc.property(link, (one) => {
        expect(linkOf(textOf(one))).toEqual(one)
      }),
      { numRuns: 5000 },
    )
  })

  it('is the link without its signature, but for the old form', () => {
    fc.assert(
      fc.property(link, (a) => {
        const [path] = signedPath('key', a.id, a.target, a.members).split('&signature=')
        const isOld = Object.keys(a.members).length === 1
        return isOld ? textOf(a) === `${a.id}\n${a.target}\n${a.members.expires}` : textOf(a) === path
      }),
    )
  })
})
