import { expect, it } from 'vitest'
import { interimRule } from './interim.ts'

it.each([
  ['auto', {}, true],
  ['auto', { 'user-agent': 'curl' }, true],
  ['auto', { 'x-forwarded-for': '192.0.2.1' }, false],
  ['auto', { via: '1.1 proxy' }, false],
  ['on', { 'x-forwarded-for': '192.0.2.1' }, true],
  ['off', {}, false],
] as const)(
  'with INTERIM_RESPONSES=%s they are sent to a request with %j: %s',
  (setting, headers, isSent) => {
    expect(interimRule(setting)({ headers })).toBe(isSent)
  },
)
