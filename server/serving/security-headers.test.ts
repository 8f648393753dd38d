import { expect, it } from 'vitest'
import { securityHeaders } from './security-headers.ts'

it('are those of helmet, with a policy that runs nothing of others', () => {
  const headers = securityHeaders(undefined)
  expect([...headers.keys()].sort()).toEqual([
    'Content-Security-Policy',
    'Cross-Origin-Opener-Policy',
    'Cross-Origin-Resource-Policy',
    'Origin-Agent-Cluster',
    'Referrer-Policy',
    'X-Content-Type-Options',
    'X-DNS-Prefetch-Control',
    'X-Download-Options',
    'X-Frame-Options',
    'X-Permitted-Cross-Domain-Policies',
    'X-XSS-Protection',
  ])
  expect(headers.get('Content-Security-Policy')).toContain("default-src 'self'")
  expect(headers.get('X-Content-Type-Options')).toBe('nosniff')
})

it('let pages show content from where it is redirected to', () => {
  expect(securityHeaders('https://bucket.example').get('Content-Security-Policy')).toContain(
    "media-src 'self' blob: https://bucket.example",
  )
})
