import { describe, expect, it } from 'vitest'
import { accepts, acceptsAnything, acceptsDocuments, mayAccept, readAcceptedTypes } from './accepted-types.ts'
import { FORMATS, fileOf, formatOfType, KNOWN } from './formats.ts'

function read(list: string) {
  const accepted = readAcceptedTypes(list)
  if (!accepted) throw new Error(`${list} is no list of media types`)
  return accepted
}

const formatOf = (type: string) => formatOfType(KNOWN, type) ?? fileOf(type)

describe('accepted types', () => {
  it.each<[string, string, boolean]>([
    ['video/mp4', 'video/mp4', true],
    ['video/mp4', 'video/x-m4v', true],
    ['video/mp4', 'video/webm', false],
    ['VIDEO/*, image/*', 'video/x-matroska', true],
    ['video/*', 'audio/mpeg', false],
    ['image/*', 'image/svg+xml', false],
    ['image/*', 'application/pdf', false],
    ['application/pdf', 'application/pdf', true],
    ['application/pdf', 'application/zip', false],
    ['application/x-foo', 'application/x-foo', true],
    ['application/*', 'application/x-foo', true],
    ['application/*', 'application/pdf', true],
    ['application/*', 'text/csv', false],
    ['text/*', 'text/x-python', true],
    ['text/*', 'text/csv', true],
    ['*/*', 'video/mp4', true],
    ['*/*', 'image/svg+xml', true],
    ['*/*', 'application/octet-stream', true],
  ])('of %j: %s %s', (list, type, isAccepted) => {
    expect(accepts(read(list), formatOf(type))).toBe(isAccepted)
  })

  it.each(['', 'video', 'video/mp5', 'image/svg+xml', 'a/b/c', 'application/', '*', 'video/mp4,', '*/pdf'])(
    'are not %j',
    (list) => {
      expect(readAcceptedTypes(list)).toBeUndefined()
    },
  )

  it('may be those of a container before its streams are known', () => {
    expect(mayAccept(read('audio/*'), formatOf('video/webm'))).toBe(true)
    expect(accepts(read('audio/*'), formatOf('video/webm'))).toBe(false)
    expect(mayAccept(read('audio/*'), formatOf('video/x-msvideo'))).toBe(false)
  })

  it('are media alone by default', () => {
    const { formats, others } = read('video/*,image/*,audio/*')
    expect(formats).toEqual(FORMATS)
    expect(others).toEqual([])
    expect(acceptsDocuments(read('video/*,image/*,audio/*'))).toBe(false)
    expect(acceptsDocuments(read('video/*,application/pdf'))).toBe(true)
    expect([read('*/*'), read('text/*')].map(acceptsAnything)).toEqual([true, false])
  })
})
