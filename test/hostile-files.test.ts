import { mkdtemp, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FORMATS } from '../content/formats.ts'
import { Ffmpeg } from '../processing/tools/ffmpeg.ts'
import { UnreadableInput } from '../processing/tools/tool-errors.ts'
import * as hostile from './fixtures/hostile.ts'
import { eicarTestString, jpeg, madeByFfmpeg, shortVideo } from './fixtures/media.ts'
import { programPath, requires } from './services/requirements.ts'
import { filesBelow } from './support/leftovers.ts'
import { type MemoryWatch, watchMemory } from './support/memory.ts'
import { listProcesses } from './support/processes.ts'
import { type ServerProcess, startServerProcess } from './support/server-process.ts'
import { NOTHING_USED, quotaOf } from './support/status.ts'
import { createId, patch } from './support/tus.ts'
import { type MediaJson, outcome } from './support/uploads.ts'
import { zipOf } from './support/zip.ts'

const isEquipped = requires('ffmpeg').met && requires('clamd').met && process.platform === 'linux'
/** Bytes of which nobody tells yet what they are. */
const UNJUDGED = 1000
const VERDICT_MS = 20_000
const MB = 1024 * 1024
const PHAR = Buffer.from('__HALT_COMPILER(); ?>\r\n\x40\0\0\0\x01\0\0\0\x11\0\0\0\x01\0', 'latin1')

const LECTURE = [
  ...['-f', 'lavfi', '-i', 'testsrc2=size=640x360:rate=25:duration=2'],
  ...['-metadata', 'title=All of <script> and <svg onload>', '-metadata', 'comment=<?php tutorial'],
]
const LONG_AGO = new Date('2001-01-01')

describe.skipIf(!isEquipped)('a hostile file', () => {
  let server: ServerProcess
  let directory: string
  let secret: string
  let bait: Server
  let baitUrl: string
  let connections = 0
  let memory: MemoryWatch
  let workerPid: number

  beforeAll(async () => {
    server = await startServerProcess({ UPLOAD_MAX_OPEN: '100' })
    workerPid = await server.untilWorker()
    memory = watchMemory(workerPid)
    directory = await mkdtemp(join(tmpdir(), 'landfall-hostile-'))
    secret = join(directory, 'secret.mp4')
    await writeFile(secret, await readFile((await shortVideo()).path))
    bait = createServer((socket) => {
      connections++
      socket.destroy()
    })
    await new Promise<void>((resolve) => void bait.listen(0, '127.0.0.1', resolve))
    const address = bait.address()
    baitUrl = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}/x.ts`
  })
  afterAll(async () => {
    await memory?.stop()
    bait?.close()
    await server?.stop()
    await rm(directory, { recursive: true, force: true })
  })

  /** So that it is not judged while it arrives: by fewer first bytes than that takes, and then the rest. */
  async function sendUnseen(owner: string, bytes: Buffer, filename: string): Promise<MediaJson> {
    const id = await createId(server, owner, { size: bytes.length, metadata: { filename } })
    await patch(server, owner, id, { offset: 0, body: bytes.subarray(0, UNJUDGED) })
    const last = await patch(server, owner, id, { offset: UNJUDGED, body: bytes.subarray(UNJUDGED) })
    expect(last.status).toBe(204)
    return await outcome(server, owner, id)
  }

  const video = async () => await readFile((await shortVideo()).path)
  const faststart = async () => await readFile((await shortVideo({ faststart: true })).path)
  const image = async () => await readFile((await jpeg({ width: 800, height: 600 })).path)
  const eicar = Buffer.from(eicarTestString())

  type Case = [what: string, code: string | null, name: string, make: () => Promise<Buffer> | Buffer]
  const cases: Case[] = [
    ['an HLS playlist', 'type-not-recognised', 'a.mp4', () => hostile.hlsPlaylist(secret, baitUrl)],
    ['a list for concat', 'type-not-recognised', 'a.mp4', () => hostile.concatList(secret, baitUrl)],
    ['an SVG with entities', 'type-not-allowed', 'a.png', () => hostile.svgWithEntities(secret, baitUrl)],
    ['a zip bomb', 'type-not-allowed', 'a.mp4', hostile.zipBomb],
    [
      'a png of 30,000×30,000',
      'dimensions-too-large',
      'a.png',
      () => hostile.pngBomb(30_000, 30_000, { depth: 1, channels: 1 }),
    ],
    ['a png of 2³¹−1 × 300', 'damaged', 'a.png', () => pngWithSize(2 ** 31 - 1, 300)],
    [
      'a png of 128 MB of pixels in a few KB',
      null,
      'a.png',
      () => hostile.pngBomb(4096, 4096, { depth: 16, channels: 4 }),
    ],
    ['an mp4 of a million tracks', 'damaged', 'a.mp4', () => hostile.manyTracks(1_000_000)],
    [
      'an mp4 whose seconds are four thousand million ticks',
      'damaged',
      'a.mp4',
      async () => hostile.patched(await video(), 'mdhd', 12, [0xff, 0xff, 0xff, 0xff]),
    ],
    [
      'an mp4 whose seconds have no tick',
      'damaged',
      'a.mp4',
      async () => hostile.patched(await video(), 'mvhd', 12, [0, 0, 0, 0]),
    ],
    [
      // Its packets tell how long it lasts.
      'an mp4 that says it lasts for years',
      null,
      'a.mp4',
      async () => hostile.patched(await video(), 'mvhd', 12, [0, 0, 0, 1, 0x7f, 0xff, 0xff, 0xff]),
    ],
    [
      'an mp4 of two thousand million samples',
      'any',
      'a.mp4',
      async () => hostile.patched(await video(), 'stsz', 4, [0, 0, 0, 1, 0x7f, 0xff, 0xff, 0xff]),
    ],
    [
      'an mp4 that has one sample for two thousand million',
      'any',
      'a.mp4',
      async () => hostile.patched(await video(), 'stts', 8, [0x7f, 0xff, 0xff, 0xff]),
    ],
    [
      'a jpeg with a zip behind it',
      'polyglot',
      'a.jpg',
      async () => {
        const bytes = await image()
        return Buffer.concat([bytes, zipOf('a', Buffer.from('hello'), bytes.length)])
      },
    ],
    [
      'an mp4 with a page behind it',
      'polyglot',
      'a.mp4',
      async () => Buffer.concat([await video(), Buffer.from('<!doctype html><script>alert(1)</script>')]),
    ],
    [
      'a png with PHP behind it, in its shortest form',
      'polyglot',
      'a.png',
      async () =>
        Buffer.concat([
          hostile.pngBomb(640, 480, { depth: 16, channels: 4 }),
          Buffer.from('<?=`$_GET[0]`?>'),
        ]),
    ],
    [
      'an mp4 with a PHP archive in the middle of its media',
      'polyglot',
      'a.mp4',
      async () => hostile.withBox(await video(), 'middle', PHAR),
    ],
    [
      'an mp4 that says what its lecture is about',
      null,
      'a.mp4',
      async () => await readFile((await madeByFfmpeg('lecture.mp4', LECTURE)).path),
    ],
    ['a name that runs a program', 'type-mismatch', 'holiday.php.mp4', video],
    ['EICAR at the start', 'infected', 'a.mp4', async () => hostile.withBox(await video(), 'start', eicar)],
    ['EICAR in the middle', 'infected', 'a.mp4', async () => hostile.withBox(await video(), 'middle', eicar)],
    ['EICAR at the end', 'infected', 'a.mp4', async () => hostile.withBox(await video(), 'end', eicar)],
    ['EICAR in a tar', 'type-not-allowed', 'a.mp4', () => hostile.tarOf('x.com', eicar)],
    [
      'EICAR in a tar in a box',
      'infected',
      'a.mp4',
      async () => hostile.withBox(await video(), 'end', hostile.tarOf('x.com', eicar)),
    ],
    ['an mp4 without its end', 'damaged', 'a.mp4', async () => cut(await video(), 0.6)],
    [
      'an mp4 with its index and without its end',
      'damaged',
      'a.mp4',
      async () => cut(await faststart(), 0.6),
    ],
    ['an mkv without its end', 'damaged', 'a.mkv', async () => cut(await other('mkv'), 0.6)],
    ['a webm without its end', 'any', 'a.webm', async () => cut(await other('webm'), 0.6)],
    ['an avi without its end', 'any', 'a.avi', async () => cut(await other('avi'), 0.6)],
    ['a jpeg without its end', 'damaged', 'a.jpg', async () => cut(await image(), 0.6)],
    ['an mp4 of noise', 'damaged', 'a.mp4', async () => hostile.bitFlipped(await video(), 50_000, 1)],
    ...[2, 3, 4, 5].map(
      (seed): Case => [
        'an mp4 with flipped bits',
        'any',
        'a.mp4',
        async () => hostile.bitFlipped(await video(), 4 ** seed, seed),
      ],
    ),
    ...[2, 3, 4, 5].map(
      (seed): Case => [
        'an mkv with flipped bits',
        'any',
        'a.mkv',
        async () => hostile.bitFlipped(await other('mkv'), 4 ** seed, seed),
      ],
    ),
    ...[2, 3, 4, 5].map(
      (seed): Case => [
        'a jpeg with flipped bits',
        'any',
        'a.jpg',
        async () => hostile.bitFlipped(await image(), 4 ** seed, seed),
      ],
    ),
    ...[3, 5].map(
      (seed): Case => [
        'an mp3 with flipped bits',
        'any',
        'a.mp3',
        async () => hostile.bitFlipped(await sound(), 4 ** seed, seed),
      ],
    ),
  ]

  const other = async (container: 'mkv' | 'webm' | 'avi') =>
    await readFile((await shortVideo({ container })).path)
  const sound = async () =>
    await readFile(
      (await madeByFfmpeg('tone.mp3', ['-f', 'lavfi', '-i', 'sine=duration=2', '-c:a', 'libmp3lame'])).path,
    )

  it.each(cases.map((one, index) => [index, ...one] as const))(
    '%i: %s ends as %s, in time, and leaves nothing',
    async (index, _what, code, name, make) => {
      await utimes(secret, LONG_AGO, LONG_AGO)
      const owner = `sender ${index}`
      const bytes = await make()
      const begun = performance.now()
      const media = await sendUnseen(owner, bytes, name)
      expect(performance.now() - begun).toBeLessThan(VERDICT_MS)
      const end = { status: media.status, code: media.reason?.code ?? null }
      // Of some, nobody can say more than that they must not be our fault.
      if (code !== 'any') expect(end).toEqual({ status: code === null ? 'ready' : 'rejected', code })
      expect(['ready', 'rejected']).toContain(end.status)

      if (end.status === 'rejected') {
        expect(await quotaOf(server, owner)).toEqual(NOTHING_USED)
        await expect.poll(() => filesOf(media), { timeout: 10_000 }).toEqual([])
      }
      await expect.poll(toolsRunning, { timeout: 5_000 }).toEqual([])
      expect(connections).toBe(0)
      expect((await stat(secret)).atime).toEqual(LONG_AGO)
    },
  )

  it('was processed in bounded memory', () => {
    expect(memory.own() / MB).toBeLessThan(700)
    expect(memory.all() / MB).toBeLessThan(1200)
  })

  it.each([
    ['an HLS playlist', hostile.hlsPlaylist],
    ['a list for concat', hostile.concatList],
    ['an SVG with entities', hostile.svgWithEntities],
  ] as const)('that is %s no tool of ours opens, whatever it is called', async (_what, make) => {
    const path = join(directory, 'a.mp4')
    const bytes = make(secret, baitUrl)
    await writeFile(path, bytes)
    await utimes(secret, LONG_AGO, LONG_AGO)
    const ffmpeg = new Ffmpeg({ ffmpegPath: programPath('ffmpeg'), ffprobePath: programPath('ffprobe') })
    for (const { demuxers } of FORMATS.filter((format) => format.demuxers.length > 0)) {
      const run = { input: path, size: bytes.length, demuxers, signal: AbortSignal.timeout(60_000) }
      await expect(ffmpeg.probe(run)).rejects.toThrow(UnreadableInput)
    }
    expect(connections).toBe(0)
    expect((await stat(secret)).atime).toEqual(LONG_AGO)
    // It would show, if it were read.
    await readFile(secret)
    expect((await stat(secret)).atime).not.toEqual(LONG_AGO)
  })

  async function filesOf({ uploadId, id }: MediaJson): Promise<string[]> {
    const files = await filesBelow(join(server.dataDirectory, 'objects'))
    return files.filter((file) => file.includes(uploadId) || file.includes(id))
  }

  async function toolsRunning(): Promise<string[]> {
    const processes = await listProcesses()
    return processes.filter(({ parent }) => parent === workerPid).map(({ command }) => command)
  }
})

function cut(file: Buffer, share: number): Buffer {
  return file.subarray(0, Math.floor(file.length * share))
}

/** A PNG that only says that it has this size. */
function pngWithSize(width: number, height: number): Buffer {
  const png = hostile.pngBomb(400, 300, { depth: 1, channels: 1 })
  png.writeUInt32BE(width, 16)
  png.writeUInt32BE(height, 20)
  return png
}
