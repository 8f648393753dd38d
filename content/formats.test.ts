import { describe, expect, it } from 'vitest'
import {
  DOCUMENTS,
  extensionOf,
  FORMATS,
  formatByStreams,
  formatOfName,
  formatOfType,
  KNOWN,
} from './formats.ts'

describe('the table of formats', () => {
  it('gives every media type, alias and extension to one format only', () => {
    const types = KNOWN.flatMap((format) => [format.contentType, ...format.aliases])
    const extensions = KNOWN.flatMap((format) => format.extensions)
    expect(types).toEqual([...new Set(types)])
    expect(extensions).toEqual([...new Set(extensions)])
  })

  it('is in lower case, as look-ups are', () => {
    for (const { contentType, aliases, extensions } of KNOWN) {
      for (const name of [contentType, ...aliases, ...extensions]) expect(name).toBe(name.toLowerCase())
    }
  })

  it('names a demuxer for all that ffmpeg is to open: sounds, videos, animated AVIF and BMP', () => {
    for (const { kind, contentType, demuxers } of FORMATS)
      expect(demuxers.length > 0, contentType).toBe(
        kind !== 'image' || ['image/avif', 'image/bmp'].includes(contentType),
      )
  })

  it('lets no format through a demuxer that opens other files', () => {
    const dangerous = ['hls', 'concat', 'dash', 'applehttp', 'image2', 'lavfi', 'sdp', 'tee']
    const used = FORMATS.flatMap((format) => format.demuxers)
    expect(used.filter((demuxer) => dangerous.includes(demuxer))).toEqual([])
  })

  it('holds nothing that a browser would run', () => {
    const types = FORMATS.map((format) => format.contentType)
    expect(types.filter((type) => !/^(video|image|audio)\//.test(type) || type.includes('svg'))).toEqual([])
    const documents = DOCUMENTS.map((format) => format.contentType)
    expect(documents.filter((type) => /html|xml$|script|svg|^video|^image|^audio/.test(type))).toEqual([])
  })
})

it.each<[string, boolean, string]>([
  ['video/webm', false, 'audio/webm'],
  ['audio/webm', true, 'video/webm'],
  ['video/webm', true, 'video/webm'],
  ['video/quicktime', false, 'audio/mp4'],
  // There is but one type for these.
  ['video/mp2t', false, 'video/mp2t'],
  ['video/x-msvideo', false, 'video/x-msvideo'],
])('a container of %s with a picture: %s, is %s', (contentType, hasPicture, found) => {
  const container = formatOfType(FORMATS, contentType)
  expect(container && formatByStreams(container, hasPicture).contentType).toBe(found)
})

describe('a media type', () => {
  it.each([
    ['video/mp4', 'video/mp4'],
    ['VIDEO/MP4', 'video/mp4'],
    [' video/mp4 ; codecs="avc1.42E01E"', 'video/mp4'],
    ['video/x-m4v', 'video/mp4'],
    ['video/3gpp', 'video/mp4'],
    ['image/jpg', 'image/jpeg'],
    ['audio/x-m4a', 'audio/mp4'],
    ['application/ogg', 'audio/ogg'],
    ['audio/ogg; codecs=opus', 'audio/ogg'],
    ['video/avi', 'video/x-msvideo'],
    ['image/svg+xml', undefined],
    ['text/html', undefined],
    ['video', undefined],
    ['video/*', undefined],
    ['', undefined],
    ['constructor', undefined],
  ])('%j stands for %s', (mediaType, contentType) => {
    expect(formatOfType(FORMATS, mediaType)?.contentType).toBe(contentType)
  })

  it('stands for nothing when its format is not among those asked', () => {
    const images = FORMATS.filter((format) => format.kind === 'image')
    expect(formatOfType(images, 'video/mp4')).toBeUndefined()
    expect(formatOfName(images, 'clip.mp4')).toBeUndefined()
  })
})

describe('a file name', () => {
  it.each([
    ['clip.mp4', 'mp4', 'video/mp4'],
    ['CLIP.MOV', 'mov', 'video/quicktime'],
    ['archive.tar.gz', 'gz', undefined],
    ['photo.jpeg', 'jpeg', 'image/jpeg'],
    ['photo.jpg.exe', 'exe', undefined],
    ['日本語.webm', 'webm', 'video/webm'],
    ['.mp4', undefined, undefined],
    ['clip', undefined, undefined],
    ['clip.', undefined, undefined],
    ['v1.final version', undefined, undefined],
    ['', undefined, undefined],
  ])('%j ends in %s, which is %s', (filename, extension, contentType) => {
    expect(extensionOf(filename)).toBe(extension)
    expect(formatOfName(FORMATS, filename)?.contentType).toBe(contentType)
  })
})
