import { describe, expect, it } from 'vitest'
import { readAnswers } from './answers.ts'
import { complaintAbout } from './properties.ts'

const problem = (status: number, code: string, said = status) => {
  const body = JSON.stringify({ status: said, code })
  return `HTTP/1.1 ${status} X\r\nX-Request-Id: 1\r\nContent-Type: application/problem+json\r\nContent-Length: ${body.length}\r\n\r\n${body}`
}
const plain = (status: number, body: string, type = 'text/plain') =>
  `HTTP/1.1 ${status} X\r\nX-Request-Id: 1\r\nContent-Type: ${type}\r\nContent-Length: ${body.length}\r\n\r\n${body}`

/** About the first answer in this. */
function complaint(text: string, sent = ''): string | undefined {
  const [answer] = readAnswers(Buffer.from(text), 'GET', true)
  if (!answer) throw new Error('there is no answer')
  return complaintAbout(answer, sent, ['/tmp/secret-place'])
}

describe('the fuzz test', () => {
  it.each([
    ['a problem of ours', problem(404, 'not-found')],
    ['no problem at all', plain(200, '{"items":[]}')],
    ['what Node says without a Host', 'HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n'],
    ['an interim response', 'HTTP/1.1 100 Continue\r\n\r\n'],
  ])('has nothing against %s', (_what, text) => {
    expect(complaint(text)).toBeUndefined()
  })

  it.each([
    ['an internal error', problem(500, 'internal-error')],
    ['a method that is not implemented', plain(501, '')],
    ['a code that nobody knows', problem(404, 'toString')],
    ['a code with the status of another', problem(400, 'not-found')],
    ['a document that says another status', problem(404, 'not-found', 400)],
    ['an error in HTML', plain(404, '<html>Not Found</html>', 'text/html')],
    ['an error without a word', plain(404, '')],
    ['a stack', plain(200, 'Error\n    at read (/a/b.js:1:2)')],
    ['a statement', plain(200, 'select * from uploads where id = 1')],
    ['an error of the database', plain(200, 'invalid input syntax for type bigint')],
    ['an error of the system', plain(200, 'ENOENT: no such file')],
    ['a function in the place of a word', plain(200, 'function Object() { [native code] }')],
    ['where it keeps things', plain(200, 'in /tmp/secret-place/objects')],
    ['an offset that is none', 'HTTP/1.1 200 OK\r\nUpload-Offset: NaN\r\nContent-Length: 0\r\n\r\n'],
  ])('complains about %s', (_what, text) => {
    expect(complaint(text)).toBeDefined()
  })

  it('does not take its own words for a leak', () => {
    expect(complaint(plain(200, 'ENOENT'), 'GET /ENOENT HTTP/1.1')).toBeUndefined()
  })

  it('complains about what is no answer', () => {
    expect(() =>
      readAnswers(Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nrest'), 'GET', true),
    ).toThrow()
  })
})
