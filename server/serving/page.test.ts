import { expect, it } from 'vitest'
import { placedBelow } from './page.ts'

const DOCUMENT = `<link rel="icon" href="./favicon.svg" /><script type="module" src="./assets/index.js"></script>
<p>See ./assets and href="https://example.org/"</p>`

it('is as it was built where it has no prefix', () => {
  expect(placedBelow('', DOCUMENT)).toBe(DOCUMENT)
})

it('has its files below its prefix, and nothing else', () => {
  expect(placedBelow('/up', DOCUMENT)).toBe(
    DOCUMENT.replace('"./favicon', '"/up/favicon').replace('"./assets', '"/up/assets'),
  )
})

it('shows every character that a prefix may have as text', () => {
  const text = placedBelow("/$&'&quot;()$1", '<script src="./a.js"></script>')
  expect(text).toBe('<script src="/$&amp;&#39;&amp;quot;()$1/a.js"></script>')
})
