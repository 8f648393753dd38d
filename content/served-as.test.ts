import { describe, expect, it } from 'vitest'
import { DOCUMENTS, FORMATS } from './formats.ts'
import { servedAs } from './served-as.ts'

describe('how an object is served', () => {
  it.each(FORMATS.map(({ contentType }) => contentType))('%s is shown in place', (contentType) => {
    expect(servedAs(contentType)).toEqual({ contentType, disposition: 'inline' })
  })

  it.each(DOCUMENTS.map(({ contentType }) => contentType))('%s is saved', (contentType) => {
    expect(servedAs(contentType)).toEqual({ contentType, disposition: 'attachment' })
  })

  it.each([
    'text/html',
    'text/html; charset=utf-8',
    'application/xhtml+xml',
    'image/svg+xml',
    'IMAGE/SVG+XML',
    'text/xml',
    'application/xml',
    'text/javascript',
    'multipart/x-mixed-replace',
    'image/jpeg\r\nX-Injected: 1',
    'video/',
    '',
  ])('%j is only ever saved, as bytes', (contentType) => {
    expect(servedAs(contentType)).toEqual({
      contentType: 'application/octet-stream',
      disposition: 'attachment',
    })
  })

  it('what was not identified is saved', () => {
    expect(servedAs(null)).toEqual({ contentType: 'application/octet-stream', disposition: 'attachment' })
  })

  it.each([
    ['holiday.mp4', 'inline; filename=holiday.mp4'],
    ['my holiday.mp4', 'inline; filename="my holiday.mp4"'],
    ['Übung 🎬.mp4', `inline; filename="?bung ??.mp4"; filename*=UTF-8''%C3%9Cbung%20%F0%9F%8E%AC.mp4`],
    ['a"b\\c;d.mp4', 'inline; filename="a\\"b\\\\c;d.mp4"'],
  ])('a file named %s is saved under its name', (filename, disposition) => {
    expect(servedAs('video/mp4', filename).disposition).toBe(disposition)
  })

  it('another name of a known type is served under our own', () => {
    expect(servedAs('audio/x-m4a')).toEqual({ contentType: 'audio/mp4', disposition: 'inline' })
  })
})
