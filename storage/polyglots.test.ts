import { readFile } from 'node:fs/promises'
import sharp from 'sharp'
import { beforeAll, describe, expect, it } from 'vitest'
import { jpeg, shortVideo } from '../test/fixtures/media.ts'
import { requires } from '../test/services/requirements.ts'
import { zipOf } from '../test/support/zip.ts'
import { alsoIs } from './polyglots.ts'

/** Also counts what was read. */
async function look(file: Buffer): Promise<{ found: string | undefined; bytesRead: number }> {
  let bytesRead = 0
  const found = await alsoIs(file.length, async (start, end) => {
    bytesRead += end - start + 1
    return file.subarray(start, end + 1)
  })
  return { found, bytesRead }
}

const PAGE = '<!DOCTYPE html><html><body onload="alert(1)"></body></html>'
const PDF = '%PDF-1.4\n1 0 obj<<>>endobj\nxref\n0 1\ntrailer<<>>\nstartxref\n9\n%%EOF\n'
const noise = (bytes: number) => {
  // The same every time, and nothing that compresses.
  const out = Buffer.alloc(bytes)
  let state = 0x9e3779b9
  for (let i = 0; i < bytes; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    out[i] = state >>> 24
  }
  return out
}

const picture = (format: 'png' | 'gif' | 'jpeg' | 'webp') =>
  sharp({ create: { width: 400, height: 300, channels: 3, background: '#456' } })
    .toFormat(format)
    .toBuffer()

/** A JPEG with a segment right behind its first two bytes. */
const withSegment = (image: Buffer, marker: number, body: Buffer): Buffer => {
  const header = Buffer.from([0xff, marker, 0, 0])
  header.writeUInt16BE(body.length + 2, 2)
  return Buffer.concat([image.subarray(0, 2), header, body, image.subarray(2)])
}

describe('a file that is two', () => {
  const cases: [what: string, found: string, make: () => Promise<Buffer>][] = [
    ['a jpeg with a zip behind it', 'a zip archive', async () => appended(await picture('jpeg'), 'zip')],
    ['a png with a zip behind it', 'a zip archive', async () => appended(await picture('png'), 'zip')],
    [
      'a jpeg with a jar behind it, and a long comment behind that',
      'a zip archive',
      async () => {
        const image = await picture('jpeg')
        return Buffer.concat([
          image,
          zipOf('META-INF/MANIFEST.MF', noise(500), image.length, 'x'.repeat(60_000)),
        ])
      },
    ],
    [
      'a jpeg with a zip that knows nothing of it',
      'a zip archive',
      async () => Buffer.concat([await picture('jpeg'), zipOf('a', noise(500))]),
    ],
    [
      'a png with a large zip behind it',
      'a zip archive',
      async () => {
        const image = await picture('png')
        return Buffer.concat([image, zipOf('a', noise(3_000_000), image.length)])
      },
    ],
    ['a png with a page behind it', 'a web page', async () => appended(await picture('png'), PAGE)],
    ['a png with a script in a text chunk', 'a web page', async () => withText(await picture('png'))],
    [
      'a gif with a script in a comment',
      'a web page',
      async () => appended(await picture('gif'), '<script>alert(1)</script>'),
    ],
    [
      'a gif that is a comment in JavaScript',
      'a script',
      async () => {
        const gif = await picture('gif')
        gif.write('/*', 6, 'latin1')
        return appended(gif, '*/=1;alert(1)')
      },
    ],
    [
      'a gif that is an assignment in JavaScript',
      'a script',
      async () => appended(Buffer.from('GIF89a=1,a=2;alert(1);//'), 'x'.repeat(100)),
    ],
    [
      'a jpeg that is a comment in JavaScript',
      'a script',
      async () => {
        const body = Buffer.alloc(0x2f2a - 2)
        body.write('*/=alert(1);/*', 100, 'latin1')
        return withSegment(await picture('jpeg'), 0xe0, body)
      },
    ],
    [
      'a jpeg with PHP in its comment',
      'a PHP script',
      async () => withSegment(await picture('jpeg'), 0xfe, Buffer.from('<?php system($_GET[0]); ?>')),
    ],
    [
      'a jpeg with PHP behind it',
      'a PHP script',
      async () => appended(await picture('jpeg'), '<?PHP phpinfo();'),
    ],
    [
      'a jpeg that begins as a PDF',
      'a PDF',
      async () => withSegment(await picture('jpeg'), 0xfe, Buffer.from(PDF)),
    ],
    ['a webp with a PDF behind it', 'a PDF', async () => appended(await picture('webp'), PDF)],
  ]

  it.each(cases)('is found out: %s', async (_what, found, make) => {
    const file = await make()
    const { found: is, bytesRead } = await look(file)
    expect(is).toBe(found)
    expect(bytesRead).toBeLessThan(140_000)
  })

  it.skipIf(!requires('ffmpeg').met).each([
    ['zip', 'a zip archive'],
    [PAGE, 'a web page'],
  ])('is found out: an mp4 with %.5s behind it', async (what, found) => {
    const video = await readFile((await shortVideo({ seconds: 20, width: 1280, height: 720 })).path)
    const { found: is, bytesRead } = await look(appended(video, what))
    expect(is).toBe(found)
    expect(bytesRead).toBeLessThan(140_000)
  })
})

describe('a file that is one', () => {
  let image: Buffer
  beforeAll(async () => {
    image = await readFile((await jpeg({ width: 800, height: 600 })).path)
  })

  const xmp = `http://ns.adobe.com/xap/1.0/\0<?xpacket begin='\ufeff' id='W5M0MpCehiHzreSzNTczkc9d'?>
    <x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>
    <rdf:Description><pdf:Producer>Adobe PDF library 15.0</pdf:Producer><dc:description>&lt;script&gt; and
    &lt;?php in &lt;html&gt;</dc:description></rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end='w'?>`

  it('is a jpeg with XMP, which holds markup', async () => {
    expect((await look(withSegment(image, 0xe1, Buffer.from(xmp)))).found).toBeUndefined()
  })

  it('is a jpeg whose EXIF holds a thumbnail', async () => {
    const thumbnail = await sharp(image).resize(160).jpeg().toBuffer()
    const exif = Buffer.concat([Buffer.from('Exif\0\0MM\0*\0\0\0\x08', 'latin1'), noise(200), thumbnail])
    expect((await look(withSegment(image, 0xe1, exif))).found).toBeUndefined()
    expect(
      (
        await look(
          await sharp(image)
            .withExif({ IFD0: { Copyright: 'A & B' } })
            .toBuffer(),
        )
      ).found,
    ).toBeUndefined()
  })

  it('is a jpeg whose EXIF is as long as a comment in JavaScript', async () => {
    expect((await look(withSegment(image, 0xe1, noise(0x2f2a - 2)))).found).toBeUndefined()
  })

  it('is a jpeg with a film behind it, as phones write them', async () => {
    const film = Buffer.concat([Buffer.from('\0\0\0\x18ftypmp42\0\0\0\0isommp42', 'latin1'), noise(200_000)])
    expect((await look(Buffer.concat([image, film]))).found).toBeUndefined()
  })

  it('is an mp4 with tags in udta, whose descriptions hold paragraphs and links', async () => {
    const text = '<p>Our show, <a href="https://example.com/?a=1&b=2">here</a></p><br/> v1.0 = a/*b*/'
    const udta = Buffer.concat([Buffer.from('\0\0\0\xffudta', 'latin1'), Buffer.from(text)])
    expect((await look(Buffer.concat([noise(300_000), udta]))).found).toBeUndefined()
  })

  it('is an mp3 with an APE tag and one of ID3v1', async () => {
    const ape = Buffer.from(
      `APETAGEX\xd0\x07\0\0${'\0'.repeat(20)}Comment\0PK is no archive PK\x05\x06`,
      'latin1',
    )
    const id3v1 = Buffer.from(`TAG${'A title'.padEnd(125, '\0')}`, 'latin1')
    expect((await look(Buffer.concat([noise(300_000), ape, id3v1]))).found).toBeUndefined()
  })

  it.each(['png', 'gif', 'jpeg', 'webp'] as const)('is a %s', async (format) => {
    expect((await look(await picture(format))).found).toBeUndefined()
  })

  it('is noise that holds what an archive ends with, by chance', async () => {
    const file = noise(400_000)
    file.write('PK\x05\x06', 399_000, 'latin1')
    file.write('PK\x05\x06', 399_990, 'latin1')
    expect((await look(file)).found).toBeUndefined()
  })

  it('is a few bytes', async () => {
    for (const bytes of [1, 3, 21, 22, 100]) expect((await look(noise(bytes))).found).toBeUndefined()
  })
})

function appended(file: Buffer, what: string): Buffer {
  const more = what === 'zip' ? zipOf('a.txt', Buffer.from('hello'), file.length) : Buffer.from(what)
  return Buffer.concat([file, more])
}

function withText(png: Buffer): Buffer {
  const body = Buffer.from('Comment\0<script src=x></script>', 'latin1')
  const length = Buffer.alloc(4)
  length.writeUInt32BE(body.length)
  // Behind the signature and IHDR; nobody here looks at its checksum.
  return Buffer.concat([
    png.subarray(0, 33),
    length,
    Buffer.from('tEXt'),
    body,
    Buffer.alloc(4),
    png.subarray(33),
  ])
}
