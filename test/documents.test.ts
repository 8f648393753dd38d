import sharp from 'sharp'
import { afterEach, expect, it } from 'vitest'
import { type Fixture, jpeg, ofText, shortVideo } from './fixtures/media.ts'
import { requires } from './services/requirements.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { describeStorages } from './support/storages.ts'
import { create } from './support/tus.ts'
import { type MediaJson, process } from './support/uploads.ts'

const clamd = requires('clamd')
const ffmpeg = requires('ffmpeg')
const pdftoppm = requires('pdftoppm')

/** A page of 300 × 200 points with a black square on it. */
const PAGE = '1 0 0 RG 0 g 40 40 120 120 re f'
const PDF = [
  '%PDF-1.4',
  '1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj',
  '2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj',
  '3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 200]/Contents 4 0 R/Resources<<>>>>endobj',
  `4 0 obj<</Length ${PAGE.length}>>stream\n${PAGE}\nendstream endobj`,
  'trailer<</Root 1 0 R>>',
  '%%EOF',
].join('\n')
const PADDING = `\n%${'.'.repeat(1200)}\n`

const text = (name: string, content: string) => ofText(name, content.repeat(Math.ceil(1200 / content.length)))
const program = () => text('tool.exe', `MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff${'\0'.repeat(200)}`)
const zip = () => text('things.zip', `PK\x03\x04\x0a\0\0\0\0\0${'\0'.repeat(16)}\x05\0\0\0a.txthello`)

/** In UTF-16, with its mark repeated as a character of no width. */
const wide = (content: string) => Buffer.from(`\ufeff${content}`, 'utf16le').toString('latin1')

type Case = [what: string, make: () => Promise<Fixture>, declared: string, kind: string, contentType: string]
const FILES: Case[] = [
  ['a table', () => text('table.csv', 'a,b\n1,2\n'), 'text/csv', 'document', 'text/csv'],
  [
    'a table as Excel declares it',
    () => text('t.csv', 'a,b\n'),
    'application/vnd.ms-excel',
    'document',
    'text/csv',
  ],
  ['notes', () => text('notes.txt', 'Some words.\n'), '', 'document', 'text/plain'],
  ['data', () => text('data.json', '{"a":1}\n'), 'application/json', 'document', 'application/json'],
  ['a page', () => text('page.html', '<script>alert(1)</script>\n'), 'text/html', 'document', 'text/html'],
  ['a script', () => text('run.sh', '#!/bin/sh\necho\n'), 'application/x-sh', 'file', 'application/x-sh'],
  [
    'a program in TypeScript',
    () => text('one.ts', 'export const one = 1\n'),
    'video/mp2t',
    'document',
    'text/plain',
  ],
  ['a program', program, 'application/x-msdownload', 'file', 'application/x-msdownload'],
  ['an archive', zip, 'application/x-zip-compressed', 'file', 'application/zip'],
  ['a table of cars', () => text('cars.csv', 'BMW,Audi\n1,2\n'), 'text/csv', 'document', 'text/csv'],
  ['a letter', () => text('gifts.txt', 'GIFTS for all\n'), '', 'document', 'text/plain'],
  ['a wide text', () => text('wide.txt', wide('a,b\n')), '', 'document', 'text/plain'],
  ['a coloured log', () => text('x.log', '\x1b[31mred\x1b[0m\n'), '', 'document', 'text/plain'],
  ['a module in Go', () => text('go.mod', 'module one\n'), '', 'document', 'text/plain'],
  ['a feed', () => text('feed.xml', '<?xml version="1.0"?><a/>\n'), 'text/xml', 'document', 'text/xml'],
  ['nothing', () => ofText('empty.txt', ''), 'text/plain', 'document', 'text/plain'],
  ['anything', () => text('x.bin', '\x01\x02\x03\xfe'), '', 'file', 'application/octet-stream'],
  [
    'a type of its own',
    () => text('x.foo', '\x01\x02\xfe'),
    'application/x-foo',
    'file',
    'application/x-foo',
  ],
  ['a false video', () => text('x.foo', '\x01\x02\xfe'), 'video/x-foo', 'file', 'application/octet-stream'],
]

describeStorages.skipIf(!clamd.met || !ffmpeg.met || !pdftoppm.met)('a file that is no media', (storage) => {
  const opened: Landfall[] = []
  afterEach(async () => {
    for (const landfall of opened.splice(0)) await landfall.close()
  })

  async function start(allowed: string, env: Record<string, string> = {}): Promise<Landfall> {
    const landfall = await startLandfall({
      storage,
      env: { UPLOAD_ALLOWED_TYPES: allowed, UPLOAD_MIN_SIZE: '0', ...env },
    })
    opened.push(landfall)
    return landfall
  }

  it('is scanned, hashed, and served as an attachment where any file is accepted', async () => {
    const landfall = await start('*/*', { PUBLISH: 'copy', PUBLIC_PREFIX: 'public/' })
    for (const [what, make, declared, kind, contentType] of FILES) {
      const file = await make()
      const media = await process(landfall, 'alice', { ...file, contentType: declared })
      expect(media, what).toMatchObject({
        ...{ status: 'ready', reason: null, kind, contentType, scanStatus: 'clean' },
        ...{ sha256: file.sha256, filename: file.name, thumbnailUrl: null, width: null },
      })
      const served = await fetch(new URL(media.contentUrl, landfall.url))
      const disposition = served.headers.get('Content-Disposition')
      expect(disposition, what).toMatch(/^attachment; filename=/)
      const type = served.headers.get('Content-Type')?.split(';', 1)[0]
      expect(type, what).toBe(isKnown(contentType) ? contentType : OPAQUE)
      expect((await served.bytes()).length).toBe(file.size)
      const copy = (await landfall.stored.keys()).find((key) => key.startsWith(`public/${media.id}`))
      expect(copy && (await landfall.stored.bytes(copy)).length, what).toBe(file.size)
    }
    const { items } = (await (await landfall.as('alice')('/api/v1/media?kind=document')).json()) as {
      items: MediaJson[]
    }
    expect(items).toHaveLength(FILES.filter(([, , , kind]) => kind === 'document').length)
    // Media are what they are besides.
    expect(await process(landfall, 'alice', await shortVideo())).toMatchObject({ kind: 'video', fps: 25 })
  })

  const OPAQUE = 'application/octet-stream'
  const isKnown = (type: string) => /^(?:text\/(?:csv|plain)|application\/(?:json|zip))$/.test(type)

  it('has a picture of its first page where it is a PDF', async () => {
    const landfall = await start('image/*,application/pdf')
    const file = await ofText('paper.pdf', PDF + PADDING)
    const media = await process(landfall, 'alice', { ...file, contentType: 'application/pdf' })
    expect(media).toMatchObject({ status: 'ready', kind: 'document', contentType: 'application/pdf' })
    const picture = await (await fetch(new URL(media.thumbnailUrl, landfall.url))).arrayBuffer()
    const { width, height, channels } = {
      ...(await sharp(picture).metadata()),
      ...(await sharp(picture).stats()),
    }
    expect(width).toBe(640)
    expect(height).toBe(427)
    expect(channels[0]?.stdev).toBeGreaterThan(20)
    const late = await ofText('late.pdf', `\n${PDF}${PADDING}`)
    expect(await process(landfall, 'alice', { ...late, contentType: 'application/pdf' })).toMatchObject({
      ...{ status: 'ready', kind: 'document', contentType: 'application/pdf' },
    })
    // One that cannot be read is a document without a picture.
    const broken = await ofText('broken.pdf', `%PDF-1.4\n${'nothing '.repeat(200)}`)
    expect(await process(landfall, 'alice', { ...broken, contentType: '' })).toMatchObject({
      ...{ status: 'ready', thumbnailUrl: null },
    })
  })

  it('is refused where its type is not accepted, or where it is called a picture', async () => {
    const landfall = await start('video/*,image/*,application/zip')
    const pdf = await ofText('paper.pdf', PDF + PADDING)
    const metadata = { filename: 'paper.pdf', filetype: 'application/pdf' }
    const refused = await create(landfall, 'alice', { size: pdf.size, metadata })
    expect(refused.status).toBe(415)
    const hidden = { ...pdf, name: 'paper.zip', contentType: 'application/zip' }
    await expect(process(landfall, 'alice', hidden)).rejects.toThrow('The content is application/pdf')
    // By these, files of any name are accepted.
    const pages = await start('text/html,text/csv')
    for (const [name, type] of [
      ['page.html', 'text/html'],
      ['t.csv', 'application/vnd.ms-excel'],
    ] as const) {
      const file = await text(name, 'words,words\n')
      const media = await process(pages, 'alice', { ...file, contentType: type })
      expect(media).toMatchObject({ status: 'ready', kind: 'document' })
    }
    const any = await start('*/*')
    const called = { ...(await program()), name: 'me.jpg', contentType: 'image/jpeg' }
    await expect(process(any, 'alice', called)).rejects.toThrow('The name says image/jpeg')
    expect(
      await process(any, 'alice', { ...(await jpeg({ width: 640, height: 480 })), name: 'x.pdf' }),
    ).toMatchObject({ status: 'ready', kind: 'image' })
  })
})
