import { describe, expect, it } from 'vitest'
import { ROUTES } from '../api/table.ts'
import { routeFinder } from './route-patterns.ts'

const ID = 'AbCdEfGhIjKlMnOpQrStUv'
const routeOf = routeFinder(ROUTES)

describe('the route of an address', () => {
  it.each([
    ['/files', '/files'],
    ['/files/', '/files'],
    ['/files?x=/files/y', '/files'],
    [`/files/${ID}`, '/files/:id'],
    [`/files/${ID}/`, '/files/:id'],
    ['/files/..%2f..%2fetc', '/files/:id'],
    [`/files/${ID}/more`, 'other'],
    ['/api/v1/media', '/api/v1/media'],
    [`/api/v1/media/${ID}/storyboard.vtt?token=x`, '/api/v1/media/:id/storyboard.vtt'],
    [`/api/v1/media/${ID}/storyboardXvtt`, 'other'],
    [`/api/v1/webhooks/deliveries/msg_${ID}/replay`, '/api/v1/webhooks/deliveries/:id/replay'],
    ['/metrics', '/metrics'],
    ['/', 'other'],
    ['/assets/index.js', 'other'],
    ['', 'other'],
    ['*', 'other'],
    ['http://example.test/files', 'other'],
  ])('%j is %s', (url, pattern) => {
    expect(routeOf(url).pattern).toBe(pattern)
  })

  it('is found for every route', () => {
    for (const { path } of ROUTES) expect(routeOf(path.replaceAll(/:\w+/g, ID)).pattern).toBe(path)
  })

  it('has the methods that are served, and those that come with them', () => {
    expect([...routeOf(`/files/${ID}`).methods].sort()).toEqual(
      expect.arrayContaining(['DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH']),
    )
    expect(routeOf('/healthz').methods).toEqual(new Set(['GET', 'HEAD', 'OPTIONS']))
  })
})
