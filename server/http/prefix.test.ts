import { describe, expect, it } from 'vitest'
import { prefixRemover } from './prefix.ts'

const OWN = ['/files', '/files/:id', '/api/v1/media/:id', '/metrics', '/assets', '/index.html']

const remover = (publicUrl: string | undefined) =>
  prefixRemover({ publicUrl, ownPaths: OWN, innerPaths: ['/metrics'] })

describe('the path of PUBLIC_URL', () => {
  it.each([
    ['/up/files', '/files'],
    ['/up/api/v1/media?limit=1', '/api/v1/media?limit=1'],
    ['/up/', '/'],
    ['/up', '/'],
    ['/up?code=x', '/?code=x'],
    ['http://x/up/files/ID', 'http://x/files/ID'],
    // Taken off once: what is left is for the routes.
    ['/up/up/files', '/up/files'],
  ])('is taken off %s', (target, rest) => {
    expect(remover('https://host.example:8443/up')(target)).toBe(rest)
  })

  it.each([
    '/files',
    '/',
    '/upper/files',
    '/UP/files',
    '/x/up/files',
    '/files?to=/up/',
    '//up/files',
    'http://up/files',
    '*',
    '',
  ])('is not at the beginning of %s', (target) => {
    expect(remover('https://host.example:8443/up')(target)).toBe(target)
  })

  it('may have been written with a comma, which addresses have escaped', () => {
    const withoutPrefix = remover('https://host.example/a,b/')
    expect(['/a,b/files', '/a%2Cb/files'].map(withoutPrefix)).toEqual(['/files', '/files'])
  })

  it('leads to no path that proxies close', () => {
    const withoutPrefix = remover('https://host.example/up')
    for (const target of ['/up/metrics', '/up/metrics?x', 'http://x/up/metrics'])
      expect(withoutPrefix(target)).toBe(target)
  })

  it.each(['/files', '/api', '/api/v1', '/assets/x'])(
    'stays where it is also the server’s own: %s',
    (path) => {
      const target = `${path}/files/ID`
      expect(remover(`https://host.example${path}`)(target)).toBe(target)
    },
  )

  it.each([undefined, 'https://host.example', 'https://host.example/'])('is none of %s', (publicUrl) => {
    expect(remover(publicUrl)('/up/files')).toBe('/up/files')
  })
})
