import { readFile } from 'node:fs/promises'
import sharp from 'sharp'
import { beforeAll, describe, expect, it } from 'vitest'
import { box } from '../../test/fixtures/hostile.ts'
import { jpeg, madeByFfmpeg, shortVideo } from '../../test/fixtures/media.ts'
import { requires } from '../../test/services/requirements.ts'
import { zip64Of, zipOf } from '../../test/support/zip.ts'
import { FORMATS, formatOfType } from '../formats.ts'
import { detectType, HEAD_BYTES } from '../identification.ts'
import { ContentSearch } from './content-search.ts'
import { findPolyglot } from './polyglots.ts'

/**
 * As a file of the format that its first bytes tell, or of a given one, first by its structure and then as it goes by.
 * Also counts what was read of it for that alone.
 */
async function look(file: Buffer, type?: string): Promise<{ found: string | undefined; bytesRead: number }> {
  let bytesRead = 0
  const format = formatOfType(FORMATS, type ?? (await detectType(file.subarray(0, HEAD_BYTES))) ?? '')
  if (!format) throw new Error('a file of no format')
  const read = async (start: number, end: number) => {
    bytesRead += end - start + 1
    return file.subarray(start, end + 1)
  }
  return { found: (await findPolyglot(file.length, read, format)) ?? searched(file), bytesRead }
}

/** In chunks of a size. */
function searched(file: Buffer, chunkBytes = 64 * 1024): string | undefined {
  const search = new ContentSearch()
  for (let at = 0; at < file.length; at += chunkBytes) search.add(file.subarray(at, at + chunkBytes))
  return search.end()
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

/** What somebody runs who is told to, in the words of those who try it. */
const CODE: [code: string, found: string][] = [
  ['<?php system($_GET[0]);', 'a PHP script'],
  ['<?=`$_GET[0]`?>', 'a PHP script'],
  ['<? eval($_POST["x"]) ?>', 'a PHP script'],
  ['<?=`ls`;', 'a PHP script'],
  ['<%= x %>', 'a server page'],
  ['<%= Runtime.getRuntime().exec(x) %>', 'a server page'],
  ['<!--#exec cmd="id" -->', 'a server page'],
  ['<script>alert(1)</script>', 'a web page'],
  ['<svg onload=alert(1)>', 'a web page'],
  ['<svg/onload=alert(1)>', 'a web page'],
  ['<img src=x onerror=alert(1)>', 'a web page'],
  ['<details open ontoggle="alert(1)">', 'a web page'],
  ['<b title=">" onclick = alert(1)>', 'a web page'],
  ['<a href=" javascript:alert(1)">', 'a web page'],
  ['<!DOCTYPE html>', 'a web page'],
]

const element = (id: number[], body: Buffer) => {
  const size = Buffer.alloc(8)
  size.writeUInt32BE(0x01000000, 0)
  size.writeUInt32BE(body.length, 4)
  return Buffer.concat([Buffer.from(id), size, body])
}
const SEGMENT = [0x18, 0x53, 0x80, 0x67]
const EBML = element([0x1a, 0x45, 0xdf, 0xa3], element([0x42, 0x82], Buffer.from('webm')))
const CLUSTER = element([0x1f, 0x43, 0xb6, 0x75], noise(100_000))
const MKV_TITLE = (text: string) =>
  element([0x15, 0x49, 0xa9, 0x66], element([0x7b, 0xa9], Buffer.from(text)))
const WEBM = Buffer.concat([EBML, element(SEGMENT, Buffer.concat([MKV_TITLE('A title'), CLUSTER]))])

const FTYP = box('ftyp', Buffer.from('isom\0\0\x02\0isomiso2avc1mp41', 'latin1'))
const MP4 = Buffer.concat([FTYP, box('mdat', noise(100_000)), box('moov', noise(3_000))])
const mp4Titled = (text: string) =>
  Buffer.concat([FTYP, box('mdat', noise(100_000)), box('moov', box('udta', box('meta', Buffer.from(text))))])

function wav(...chunks: [type: string, body: string | Buffer][]): Buffer {
  const parts = [['fmt ', Buffer.alloc(16)] as const, ...chunks, ['data', noise(20_000)] as const].map(
    ([type, body]) => {
      const header = Buffer.alloc(8)
      header.write(type, 0, 'latin1')
      header.writeUInt32LE(body.length, 4)
      return Buffer.concat([header, Buffer.from(body), Buffer.alloc(body.length % 2)])
    },
  )
  const all = Buffer.concat([Buffer.from('RIFF\0\0\0\0WAVE', 'latin1'), ...parts])
  all.writeUInt32LE(all.length - 8, 4)
  return all
}

function id3(text: string): Buffer {
  const body = Buffer.from(`TIT2\0\0\0${String.fromCharCode(text.length + 1)}\0\0\x03${text}`, 'latin1')
  return Buffer.concat([Buffer.from(`ID3\x03\0\0\0\0\0${String.fromCharCode(body.length)}`, 'latin1'), body])
}
const ID3 = id3('A title')
const ID3V1 = Buffer.from(`TAG${'A title'.padEnd(125, '\0')}`, 'latin1')
const MP3 = Buffer.concat([
  Buffer.from([0xff, 0xfb, 0x90, 0x64]),
  Buffer.alloc(413),
  Buffer.from([0xff, 0xfb, 0x90, 0x64]),
  noise(300_000),
])

function flac(type: number, text: string): Buffer {
  const block = (first: number, body: Buffer) =>
    Buffer.concat([Buffer.from([first, 0, 0, body.length]), body])
  return Buffer.concat([
    Buffer.from('fLaC'),
    block(0, Buffer.alloc(34)),
    block(0x80 | type, Buffer.from(text)),
    noise(100_000),
  ])
}

const phar = (version = 0x11) =>
  Buffer.from(
    `__HALT_COMPILER(); ?>\r\n\x40\0\0\0\x01\0\0\0${String.fromCharCode(version)}\0\0\0\x01\0`,
    'latin1',
  )

/** With its title before its media. */
const mp4TitledFirst = (title: string, media: string) =>
  Buffer.concat([
    FTYP,
    box('moov', box('udta', box('meta', Buffer.from(title)))),
    box('mdat', Buffer.concat([noise(100_000), Buffer.from(media), noise(100_000)])),
  ])

/** A picture that begins with a comment which ends as the first block of an archive does. */
function asTar(image: Buffer): Buffer {
  const file = withSegment(image, 0xfe, Buffer.alloc(600))
  file.fill(' ', 148, 156)
  const sum = file.subarray(0, 512).reduce((total, byte) => total + byte, 0)
  file.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return file
}

/** With these bytes at an offset, and others at the end of it. */
function rewritten(file: Buffer, at: number, begin: string, more: string): Buffer {
  const out = Buffer.concat([file, Buffer.from(more, 'latin1')])
  out.write(begin, at, 'latin1')
  return out
}

const SCRIPTS: [what: string, make: () => Promise<Buffer> | Buffer][] = [
  [
    'a wav with an assignment and a comment for a size',
    () => rewritten(wavOfZeros(), 4, '=1/*', '*/;alert(1)//'),
  ],
  ['a wav with a comment for a size', () => rewritten(wavOfZeros(), 4, ' /* ', '*/;alert(1);var RIFF//')],
  [
    'a wav with a comment that ends 200 kB behind',
    () => rewritten(Buffer.concat([wavOfZeros(), Buffer.alloc(200_000)]), 4, '=1/*', '*/;alert(1)//'),
  ],
  [
    'a wav with a comment that ends in its sound, which goes on',
    () => wav(['data', Buffer.concat([Buffer.from('*/;alert(1)//'), noise(50_000)])]).fill('=1/*', 4, 8),
  ],
  [
    'a silent wav with a comment of a line for a size',
    () => rewritten(wavOfZeros(), 4, '=1//', '\n;alert(1)'),
  ],
  ['a silent wav with a template for a size', () => rewritten(wavOfZeros(), 4, '=1,`', '`;alert(1)')],
  ['a silent wav with a text for a size', () => rewritten(wavOfZeros(), 4, '=1,"', '";alert(1)')],
  ['a silent wav with a pattern for a size', () => rewritten(wavOfZeros(), 4, '=  /', '/;alert(1)')],
  ['a silent wav with a comment of HTML for a size', () => rewritten(wavOfZeros(), 4, '<!--', '\n;alert(1)')],
  [
    'a webp with a comment for a size',
    async () => rewritten(await picture('webp'), 4, '=1/*', '*/;alert(1)//'),
  ],
  ['an avi with a comment for a size', () => rewritten(avi(), 4, '=1/*', '*/;alert(1)//')],
  [
    'an mp4 that begins with a comment',
    () => rewritten(Buffer.concat([FTYP, box('mdat', Buffer.alloc(100_000))]), 0, '/*  ', '*/alert(1)//'),
  ],
  [
    'a gif with a comment of a line for a width',
    async () => rewritten(await picture('gif'), 6, '/*', '*/=alert`1`//'),
  ],
  [
    'a jpeg with a comment for a length, and one within that',
    async () => {
      const body = Buffer.alloc(0x2f2a - 2)
      body.write('*/=alert(1);/*', 100, 'latin1')
      return withSegment(await picture('jpeg'), 0xe0, body)
    },
  ],
]

function wavOfZeros(): Buffer {
  const fmt = Buffer.from('fmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0', 'latin1')
  return Buffer.concat([
    Buffer.from('RIFF\0\0\0\0WAVE', 'latin1'),
    fmt,
    Buffer.from('data\0\x10\0\0', 'latin1'),
    Buffer.alloc(4096),
  ])
}

const avi = () =>
  Buffer.concat([Buffer.from('RIFF\0\0\0\0AVI LIST\x10\0\0\0hdrl', 'latin1'), Buffer.alloc(1000)])

describe('a file that is two', () => {
  const cases: [what: string, found: string, make: () => Promise<Buffer> | Buffer][] = [
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
    [
      'a jpeg with a zip of more than 65,535 files behind it',
      'a zip archive',
      async () => {
        const image = await picture('jpeg')
        return Buffer.concat([image, zip64Of('a', noise(500), image.length)])
      },
    ],
    [
      'a jpeg with such a zip, and the longest comment behind that',
      'a zip archive',
      async () => {
        const image = Buffer.concat([await picture('jpeg'), noise(100_000)])
        return Buffer.concat([image, zip64Of('a', noise(500), image.length, 'x'.repeat(65_535))])
      },
    ],
    [
      'a jpeg with a zip whose directory does not stand right before its end',
      'a zip archive',
      async () => {
        const image = await picture('jpeg')
        const zip = zipOf('a', noise(500), image.length)
        return Buffer.concat([image, zip.subarray(0, -22), noise(90_000), zip.subarray(-22)])
      },
    ],
    [
      'a jpeg with more ends of zips than are looked at',
      'a zip archive',
      async () => Buffer.concat([await picture('jpeg'), Buffer.from('PK\x05\x06'.repeat(10_000), 'latin1')]),
    ],
    ['a png with a page behind it', 'a web page', async () => appended(await picture('png'), PAGE)],
    [
      'a gif with a script behind it',
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
    ...CODE.flatMap(([code, found]): typeof cases => [
      [`a jpeg with ${code} behind it`, found, async () => appended(await picture('jpeg'), code)],
      [`a webp with ${code} behind it`, found, async () => appended(await picture('webp'), code)],
      [`a gif with ${code} far behind it`, found, async () => farBehind(await picture('gif'), code)],
      [
        `a png with ${code} in a chunk of no kind`,
        found,
        async () => withChunk(await picture('png'), 'phPx', code),
      ],
      [
        `an mp4 that begins with ${code} as padding`,
        found,
        () => Buffer.concat([box('free', Buffer.from(code)), MP4]),
      ],
      [
        `an mp4 with ${code} in a box of no kind`,
        found,
        () => Buffer.concat([MP4, box('evil', Buffer.from(code))]),
      ],
      [`an mp4 with ${code} behind it`, found, () => appended(MP4, code)],
      [`a webm with ${code} behind it`, found, () => appended(WEBM, code)],
      [`a wav with ${code} in padding`, found, () => wav(['JUNK', code])],
      [`a wav with ${code} behind it`, found, () => appended(wav(), code)],
      [
        `an mp3 with ${code} between its tags`,
        found,
        () => Buffer.concat([ID3, MP3, Buffer.from(code), ID3V1]),
      ],
      [`a flac with ${code} as padding`, found, () => flac(1, code)],
    ]),
    [
      'a jpeg with a PHP archive in its comment',
      'a PHP archive',
      async () =>
        withSegment(
          await picture('jpeg'),
          0xfe,
          Buffer.from('<?php __HALT_COMPILER(); ?>\r\n\x40\0\0\0\x01\0\0\0\x11\0\0\0\x01\0', 'latin1'),
        ),
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
    [
      'a jpeg that begins as a PDF whose objects are far behind',
      'a PDF',
      async () =>
        farBehind(
          Buffer.concat([
            withSegment(await picture('jpeg'), 0xfe, Buffer.from('%PDF-1.4\n')),
            Buffer.alloc(200_000, ' '),
          ]),
          '1\x000 obj<<>>endobj trailer<<>>startxref 9',
        ),
    ],
    [
      'an mp4 titled as a PDF whose objects, with comments between, lie in its media',
      'a PDF',
      () =>
        Buffer.concat([
          FTYP,
          box('moov', Buffer.from('%PDF-')),
          box(
            'mdat',
            Buffer.concat([noise(200_000), Buffer.from('\n7 %\n0 %x\nobj %\n<</A 1>>\n'), noise(200_000)]),
          ),
        ]),
    ],
    [
      'an mp4 titled as PostScript that is a PDF',
      'a PDF',
      () => mp4TitledFirst('%!PS-Adobe-3.0 PDF-1.4', '1 0 obj[]'),
    ],
    [
      'an mp4 with a PHP archive in the middle of its media',
      'a PHP archive',
      () => Buffer.concat([FTYP, box('mdat', Buffer.concat([noise(200_000), phar(), noise(200_000)]))]),
    ],
    [
      'a wav with a PHP archive of a later version, without metadata, in its sound',
      'a PHP archive',
      () => wav(['data', Buffer.concat([noise(200_000), phar(0x20), noise(200_000)])]),
    ],
    [
      'a jpeg with a RAR archive behind it',
      'a RAR archive',
      async () => appended(await picture('jpeg'), 'Rar!\x1a\x07\0 and more'),
    ],
    [
      'a jpeg with a 7z archive far behind it',
      'a 7z archive',
      async () =>
        Buffer.concat([
          await picture('jpeg'),
          noise(90_000),
          Buffer.from('7z\xbc\xaf\x27\x1c\0\x04', 'latin1'),
        ]),
    ],
    [
      'a jpeg that is the name of a file in a tar archive',
      'a tar archive',
      async () => asTar(await picture('jpeg')),
    ],
    ...SCRIPTS.map(([what, make]): (typeof cases)[number] => [
      `${what} that is JavaScript`,
      'a script',
      make,
    ]),
  ]

  it.each(cases)('is found out: %s', async (_what, found, make) => {
    const file = await make()
    const { found: is, bytesRead } = await look(file)
    expect(is).toBe(found)
    expect(bytesRead).toBeLessThan(Math.max(160_000, 2 * file.length))
  })

  it.skipIf(!requires('ffmpeg').met).each([
    ['zip', 'a zip archive'],
    [PAGE, 'a web page'],
  ])('is found out: an mp4 with %.5s behind it', async (what, found) => {
    const video = await readFile((await shortVideo({ seconds: 20, width: 1280, height: 720 })).path)
    const { found: is, bytesRead } = await look(appended(video, what))
    expect(is).toBe(found)
    expect(bytesRead).toBeLessThan(240_000)
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

  it('has padding in which chance has put the beginning of a script', async () => {
    const openings = ['<?=;', '<? x;', '<?=a+b;', '<? \x00`ls`', '<%@ ab', '<%=x', '<jsp:x']
    const padding = openings.map((text) =>
      Buffer.concat([noise(1000), Buffer.from(text), Buffer.alloc(100, 255)]),
    )
    expect(await look(Buffer.concat([MP4, box('free', Buffer.concat(padding))]))).toMatchObject({
      found: undefined,
    })
  })

  const WORDS = [
    'About <script> and <svg onload=x>',
    'Buy at https://example.org <?php tutorial',
    '<?= 1 + 1; echo 2 ?>',
    '%PDF-1.4',
    '%PDF-1.4 and its obj, xref and trailer',
    '__HALT_COMPILER(); and what PHP does with it',
    'Rar! 7z PK ustar',
  ]
  it.each(WORDS)('has a text that says %s', async (words) => {
    const texts: [string, Buffer][] = [
      ['mp4', mp4Titled(words)],
      ['webm', Buffer.concat([EBML, element(SEGMENT, Buffer.concat([MKV_TITLE(words), CLUSTER]))])],
      ['mp3', Buffer.concat([id3(words), MP3, Buffer.from(`TAG${words.padEnd(125, '\0')}`, 'latin1')])],
      ['wav', wav(['LIST', `INFOINAM${words}`])],
      ['flac', flac(4, words)],
      ['jpeg', withSegment(await picture('jpeg'), 0xfe, Buffer.from(words))],
      ['png', withChunk(await picture('png'), 'tEXt', `Comment\0${words}`)],
      [
        'webp',
        await sharp(image)
          .withXmp(`<x:xmpmeta xmlns:x="adobe:ns:meta/">${words}</x:xmpmeta>`)
          .webp()
          .toBuffer(),
      ],
    ]
    const found = await Promise.all(texts.map(async ([name, file]) => [name, (await look(file)).found]))
    expect(found).toEqual(texts.map(([name]) => [name, undefined]))
  })

  it.skipIf(!requires('ffmpeg').met)(
    'is a film that ffmpeg has given a title and a comment about code',
    async () => {
      const words = ['-metadata', 'title=All of <script>', '-metadata', 'comment=<?php tutorial']
      const picture = ['-f', 'lavfi', '-i', 'testsrc=s=320x240:r=10:d=2', '-f', 'lavfi', '-i', 'sine=d=2']
      for (const name of [
        'coded.mp4',
        'coded.mkv',
        'coded.webm',
        'coded.mov',
        'coded.avi',
        'coded.flac',
        'coded.mp3',
        'coded.m4a',
        'coded.oga',
      ]) {
        const silent = name === 'coded.oga' ? ['-vn'] : []
        const fragments = name === 'coded.mp4' ? ['-movflags', 'frag_keyframe+empty_moov'] : []
        const { path } = await madeByFfmpeg(name, [...picture, ...words, ...fragments, ...silent])
        expect([name, (await look(await readFile(path))).found]).toEqual([name, undefined])
      }
    },
  )

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
    expect((await look(mp4Titled(text))).found).toBeUndefined()
  })

  it('is an mp3 with an APE tag and one of ID3v1', async () => {
    const ape = Buffer.from(
      `APETAGEX\xd0\x07\0\0${'\0'.repeat(20)}Comment\0PK is no archive PK\x05\x06`,
      'latin1',
    )
    const id3v1 = Buffer.from(`TAG${'A title'.padEnd(125, '\0')}`, 'latin1')
    expect((await look(Buffer.concat([MP3, ape, id3v1]))).found).toBeUndefined()
  })

  it.each(['png', 'gif', 'jpeg', 'webp'] as const)('is a %s', async (format) => {
    expect((await look(await picture(format))).found).toBeUndefined()
  })

  it('is noise that holds what an archive ends with, by chance', async () => {
    const file = noise(400_000)
    file.write('PK\x05\x06', 399_000, 'latin1')
    file.write('PK\x05\x06', 399_990, 'latin1')
    expect((await look(file, 'audio/aac')).found).toBeUndefined()
  })

  it('is a sound whose size reads as what begins a comment or a literal', () => {
    const xml = Buffer.from(
      '<?xml version="1.0"?><a href="http://example.org/a_long_address" b=\'c\'>\n<b>/* */</b></a>',
    )
    const openers = ['`', '"', "'", '/', '/*', '//', '=', '=1/*', '(//', '$//', '=  /']
    for (const opener of openers)
      for (const at of [4, 5, 6]) {
        const file = wav(['iXML', xml], ['data', noise(200_000)])
        file.write(opener.slice(0, 8 - at), at, 'latin1')
        expect([opener, at, searched(file)]).toEqual([opener, at, undefined])
      }
    const large = wav()
    large.write('AB=(', 4, 'latin1')
    expect(searched(large)).toBeUndefined()
  })

  it('is found out in chunks of any size', async () => {
    const files: [Buffer, string][] = [
      [rewritten(wavOfZeros(), 4, '<!--', '\n;alert(1)'), 'a script'],
      [Buffer.concat([FTYP, noise(5_000), phar(), noise(5_000)]), 'a PHP archive'],
      [Buffer.concat([FTYP, Buffer.from('%PDF-1.7'), noise(5_000), Buffer.from('12 0 obj\n')]), 'a PDF'],
    ]
    for (const [file, found] of files)
      for (const bytes of [1, 3, 7, 100, 513, 4096]) expect(searched(file, bytes)).toBe(found)
  })

  it('is a few bytes', async () => {
    for (const bytes of [1, 3, 21, 22, 100])
      expect((await look(noise(bytes), 'image/jpeg')).found).toBeUndefined()
  })
})

function appended(file: Buffer, what: string): Buffer {
  const more = what === 'zip' ? zipOf('a.txt', Buffer.from('hello'), file.length) : Buffer.from(what)
  return Buffer.concat([file, more])
}

/** Where a search for its end alone would not come: more lies behind it than is read of an end. */
const farBehind = (file: Buffer, what: string) =>
  Buffer.concat([file, Buffer.from(what), Buffer.alloc(300_000, ' ')])

function withChunk(png: Buffer, type: string, text: string): Buffer {
  const body = Buffer.from(text, 'latin1')
  const length = Buffer.alloc(4)
  length.writeUInt32BE(body.length)
  // Behind the signature and IHDR; nobody here looks at its checksum.
  return Buffer.concat([
    png.subarray(0, 33),
    length,
    Buffer.from(type),
    body,
    Buffer.alloc(4),
    png.subarray(33),
  ])
}
