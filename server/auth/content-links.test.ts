import fc from 'fast-check'
import { it } from 'vitest'
import { type MediaId, newMediaId } from '../../ledger/ids.ts'
import { ContentLinks } from './content-links.ts'

const nowSeconds = () => Math.floor(Date.now() / 1000)

it('a link is read back from its query as it was written', () => {
  const links = new ContentLinks(Buffer.alloc(32))
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), (filename) => {
      const expires = nowSeconds() + 60
      const url = links.signFor(newMediaId(), 'content', {
        expires,
        link: 'lnk_x',
        filename,
      })
      const { pathname, searchParams } = new URL(url, 'http://localhost')
      const id = pathname.split('/')[4] as MediaId
      return links.check(id, 'content', Object.fromEntries(searchParams))?.filename === filename
    }),
  )
})
