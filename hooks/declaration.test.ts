import { describe, expect, it } from 'vitest'
import { checkMetadata, readDeclaration } from './declaration.ts'
import { Refusal } from './refusal.ts'

/** Scotland's: a black flag, letters of tags, and their end. */
const FLAG = '🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}'

const nameOf = (filename: string) => readDeclaration({ filename }).filename

describe('the name of a file', () => {
  it.each<[string, string | null, string]>([
    ['holiday.mp4', 'holiday.mp4', 'a plain name stays'],
    ['Übung – 日本語 🎬.mov', 'Übung – 日本語 🎬.mov', 'any script stays'],
    ['../../etc/passwd', 'passwd', 'the last segment of a path'],
    ['C:\\Users\\alice\\clip.mp4', 'clip.mp4', 'of a Windows path'],
    ['a/b\\c.png', 'c.png', 'of a mixed path'],
    ['  clip.mp4  ', 'clip.mp4', 'without blanks around'],
    ['cl\r\nip\t.m\u0007p4', 'clip.mp4', 'without control characters'],
    ['a\u0000.mp4', 'a.mp4', 'without NUL'],
    ['gpj.\u202Eexe', 'gpj.exe', 'without direction overrides'],
    ['\u2066a\u2069\u200F.mp4', 'a.mp4', 'without isolates and marks'],
    ['a\u2028b\u2029.mp4', 'ab.mp4', 'without line and paragraph separators'],
    ['\uFEFFclip.mp4', 'clip.mp4', 'without a byte order mark'],
    ['می\u200cخواهم.mp4', 'می\u200cخواهم.mp4', 'a joiner between letters stays'],
    ['👨\u200d👩\u200d👧.png', '👨\u200d👩\u200d👧.png', 'and within an emoji'],
    ['a\u061C\u200E\u2060\u00ADb.mp4', 'ab.mp4', 'without other characters that do not show'],
    ['\u0600١٢٣ \u06DD.pdf', '\u0600١٢٣ \u06DD.pdf', 'with format characters that show'],
    [`${FLAG}.png`, `${FLAG}.png`, 'a flag with the letters of its region stays'],
    ['🏴\u202Egnp.exe', '🏴gnp.exe', 'but nothing else behind it'],
    [`a${FLAG.slice(2)}.png`, 'a.png', 'nor such letters behind anything else'],
    ['<img src=x onerror=alert(1)>.png', '<img src=x onerror=alert(1)>.png', 'markup is text like any other'],
    ["'; drop table uploads; --.mp4", "'; drop table uploads; --.mp4", 'and so is SQL'],
    ['.', null, 'no name'],
    ['..', null, 'no name'],
    ['folder/', null, 'no name after the path'],
    [' \u0000\u202E ', null, 'nothing that shows'],
    ['', null, 'nothing at all'],
  ])('%j is shown as %j: %s', (given, shown, _why) => {
    expect(nameOf(given)).toBe(shown)
  })

  it.each<[string, string, string]>([
    ['a'.repeat(255), 'a'.repeat(255), '255 characters stay'],
    [`${'a'.repeat(252)}.mp4`, `${'a'.repeat(251)}.mp4`, 'more are cut before the extension'],
    ['a'.repeat(1000), 'a'.repeat(255), 'or at the end where there is none'],
    [`${'a'.repeat(300)}.notanextension`, 'a'.repeat(255), 'a long tail is no extension'],
  ])('at most 255 characters: %#', (given, shown, _why) => {
    expect(nameOf(given)).toBe(shown)
  })

  it.each([250, 251, 252])('is never cut through an emoji: %i characters before it', (before) => {
    const shown = nameOf(`${'a'.repeat(before)}🎬🎬🎬🎬.mp4`) ?? ''
    expect(shown.isWellFormed()).toBe(true)
    expect(shown.length).toBeLessThanOrEqual(255)
    expect(shown).toMatch(/\.mp4$/)
  })
})

describe('what a client declares', () => {
  type Declared = [string, Record<string, string | null>, string | null, string | null]
  const names: Declared[] = [
    ['tus-js-client', { filename: 'a.mp4', filetype: 'video/mp4' }, 'a.mp4', 'video/mp4'],
    [
      'Uppy',
      { relativePath: 'null', name: 'a.mp4', type: 'video/mp4', filename: 'a.mp4', filetype: 'video/mp4' },
      'a.mp4',
      'video/mp4',
    ],
    ['name and type only', { name: 'a.mp4', type: 'video/mp4' }, 'a.mp4', 'video/mp4'],
    ['names that disagree', { filename: 'first.mp4', name: 'second.mov' }, 'first.mp4', null],
    ['an empty filename', { filename: '', name: 'b.mov' }, 'b.mov', null],
    ...['undefined', 'null', ' ', 'NaN', '[object Object]', 'None', 'nil', '<nil>', '(null)'].map(
      (nothing): Declared => [
        `"${nothing}", which is no value`,
        { filename: nothing, name: 'b.mov', filetype: nothing, type: 'video/quicktime' },
        'b.mov',
        'video/quicktime',
      ],
    ),
    ['undefined for everything', { filename: 'undefined', filetype: 'undefined' }, 'undefined', null],
    ['a name that begins like no value', { filename: 'undefined.mp4' }, 'undefined.mp4', null],
    ['a key without value', { filename: null, filetype: null }, null, null],
    ['an empty type', { filetype: '' }, null, null],
    ['the type null as text', { filetype: 'null' }, null, null],
    ['a type that means any', { filetype: 'application/octet-stream' }, null, null],
    ['the same with parameters', { filetype: 'Application/Octet-Stream; x=1' }, null, null],
    ...['mp4', 'video', '.mov', 'video/', '/mp4', 'video/mp4/x', 'a video/mp4'].map(
      (type): Declared => [`${type}, which is no type`, { filetype: type }, null, null],
    ),
    ['a type with codecs', { filetype: 'video/webm;codecs=vp8,opus' }, null, 'video/webm;codecs=vp8,opus'],
    ['nothing', {}, null, null],
    ['the name null, which may be a name', { filename: 'null' }, 'null', null],
  ]
  it.each(names)('%s', (_client, metadata, filename, declaredType) => {
    expect(readDeclaration(metadata)).toEqual({ filename, declaredType })
  })
})

describe('metadata', () => {
  const many = (count: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, index) => [`key${index}`, 'value']))

  it.each<[string, Record<string, string | null>]>([
    ['is optional', {}],
    ['may have keys without values', { isFavourite: null }],
    ['may have 64 entries', many(64)],
    ['may have values of 4096 characters', { note: 'a'.repeat(4096) }],
    ['may hold any character but NUL', { note: '\u0001\u202E\uFFFF🎬' }],
  ])('%s', (_behaviour, metadata) => {
    expect(() => checkMetadata(metadata)).not.toThrow()
  })

  it.each<[string, Record<string, string | null>, RegExp]>([
    ['65 entries', many(65), /64/],
    ['a value of 4097 characters', { note: 'a'.repeat(4097) }, /"note".*4096/],
    ['a NUL, which the ledger cannot hold', { note: 'a\0b' }, /"note".*NUL/],
  ])('is refused with %s', (_what, metadata, detail) => {
    let refusal: unknown
    try {
      checkMetadata(metadata)
    } catch (error) {
      refusal = error
    }
    expect(refusal).toBeInstanceOf(Refusal)
    expect(refusal).toMatchObject({ code: 'invalid-metadata', message: expect.stringMatching(detail) })
  })
})
