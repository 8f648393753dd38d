import { describe, expect, it } from 'vitest'
import { withoutSecrets, withoutTicket } from './ticket-path.ts'

const TICKET = `lfu_${'a-B_9'.repeat(9).slice(0, 43)}`

describe('a ticket in a path', () => {
  it.each([
    [`/api/v1/direct-uploads/tickets/${TICKET}/s3/params?filename=a`, `?filename=a&ticket=${TICKET}`],
    [`/api/v1/direct-uploads/tickets/${TICKET}/s3/params`, `?ticket=${TICKET}`],
    [`/api/v1/direct-uploads/tickets/${TICKET}/s3/params?`, `?ticket=${TICKET}`],
  ])('is read where Uppy writes it: %s', (target, query) => {
    expect(withoutTicket(target)).toBe(`/api/v1/direct-uploads/s3/params${query}`)
  })

  it.each([
    `/api/v1/direct-uploads/tickets/${TICKET}`,
    `/api/v1/direct-uploads/tickets/${TICKET}/s4/params`,
    `/api/v1/direct-uploads/tickets/${TICKET}x/s3/params`,
    `/api/v1/direct-uploads/tickets/${TICKET.slice(0, 20)}/s3/params`,
    `/files/${TICKET}`,
    `/${TICKET}/${TICKET}`,
  ])('is in no log, also where none is expected: %s', (path) => {
    expect(withoutTicket(path)).toBe(path)
    const logged = withoutSecrets(path)
    expect(logged).not.toContain(TICKET.slice(4, 20))
    expect(logged).toContain('lfu_…')
  })

  it('is all that is taken out', () => {
    expect(withoutSecrets('/files/01ABC')).toBe('/files/01ABC')
  })
})
