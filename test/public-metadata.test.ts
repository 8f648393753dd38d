import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest'
import { makeTelltale, SECRET, TELLTALES } from './fixtures/telltale.ts'
import { programPath, requires } from './services/requirements.ts'
import { asMediaId } from './support/ids.ts'
import { startLandfall } from './support/landfall.ts'
import { filesBelow } from './support/leftovers.ts'
import { describeStorages } from './support/storages.ts'
import { type MediaJson, process, type SourceFile } from './support/uploads.ts'

const ffmpeg = requires('ffmpeg')
const PATIENTLY = { timeout: 40_000 }
const ENV = {
  PUBLISH: 'copy',
  PUBLIC_PREFIX: 'public/',
  CDN_URL: 'https://cdn.example',
  SCAN: 'off',
  HLS: 'on',
  HLS_HEIGHTS: '240',
  MEDIA_MIN_WIDTH: '100',
  MEDIA_MIN_HEIGHT: '100',
  UPLOAD_MAX_OPEN: '100',
}

describeStorages.skipIf(!ffmpeg.met)('what everybody may see of a file', (storage) => {
  let directory: string
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'landfall-telltale-'))
  })
  afterAll(() => rm(directory, { recursive: true, force: true }))

  async function start(env: Record<string, string> = {}) {
    const landfall = await startLandfall({ storage, env: { ...ENV, ...env } })
    onTestFinished(() => landfall.close())
    return landfall
  }
  const made = async (name: string): Promise<SourceFile> => {
    const telltale = TELLTALES.find((one) => one.name === name)
    if (!telltale) throw new Error(`no such file: ${name}`)
    return { ...(await makeTelltale(directory, telltale)), name }
  }
  const detailOf = async ({ db }: Awaited<ReturnType<typeof start>>, id: string) =>
    await db
      .selectFrom('landfall.processing_steps')
      .select(['status', 'detail'])
      .where('media_id', '=', asMediaId(id))
      .where('step', '=', 'publish')
      .execute()

  it.each(['phone.mov', 'clip.mkv', 'song.mp3', 'song.m4a'])(
    'has nothing of what was noted in %s: neither its copy nor anything that is made of it',
    async (name) => {
      const landfall = await start()
      const file = await made(name)
      const media: MediaJson & { cdnUrl?: string } = await process(landfall, 'alice', file)
      expect(media).toMatchObject({ status: 'ready', reason: null, contentType: file.contentType })
      const { db, stored } = landfall
      if (media.kind === 'video') {
        const hls = () =>
          db.selectFrom('landfall.renditions').select('kind').where('kind', '=', 'hls').execute()
        await expect.poll(hls, PATIENTLY).toHaveLength(1)
      }
      const keys = await stored.keys()
      const extension = name.split('.').at(-1)
      expect(keys).toContain(`public/${media.id}.${extension}`)
      expect(media.cdnUrl).toBe(`https://cdn.example/${media.id}.${extension}`)
      const told: string[] = []
      for (const key of keys) {
        const bytes = await stored.bytes(key)
        if ([SECRET, '52.5163', '2021-03-04'].some((word) => bytes.includes(word))) told.push(key)
      }
      // It is its owner's, and has all of it.
      expect(told).toEqual([`uploads/${media.uploadId}`])
      expect(await filesBelow(join(landfall.dataDirectory, 'scratch')).catch(() => [])).toEqual([])
    },
    90_000,
  )

  it('is nothing where that cannot be written, and the step says why', async () => {
    const landfall = await start()
    const path = join(directory, 'foreign.webm')
    const input = ['-f', 'lavfi', '-i', 'sine=duration=2', '-f', 'lavfi', '-i', 'testsrc2=duration=2']
    // Matroska by its codecs, and WebM by its name inside.
    const coded = ['-c:v', 'mpeg4', '-c:a', 'ac3', '-f', 'matroska']
    await execa(programPath('ffmpeg'), ['-v', 'error', '-y', ...input, ...coded, path])
    const bytes = await readFile(path)
    const at = bytes.indexOf('matroska')
    // EBML: the length of the name is in front of it; zeros behind a text count for nothing.
    bytes.write('webm\0\0\0\0', at, 'latin1')
    await writeFile(path, bytes)
    const file = { path, name: 'foreign.webm', contentType: 'video/webm' }
    const media: MediaJson & { cdnUrl?: string | null } = await process(landfall, 'alice', file)
    expect(media).toMatchObject({ status: 'ready', contentType: 'video/webm', cdnUrl: null })
    expect(await detailOf(landfall, media.id)).toMatchObject([
      { status: 'done', detail: { skipped: expect.stringContaining('without its metadata') } },
    ])
    expect((await landfall.stored.keys()).filter((key) => key.startsWith('public/'))).toEqual([])
    expect(
      await landfall.db
        .selectFrom('landfall.renditions')
        .select('kind')
        .where('kind', '=', 'published')
        .execute(),
    ).toEqual([])
  })

  it('is made by the next attempt where ffmpeg was killed at it, which is no matter of the file', async () => {
    const path = join(directory, 'killed-once')
    const isNew = `[ -e ${path}.begun ] || { : >${path}.begun; kill -9 $$; }`
    const remux = `case "$*" in *map_chapters*) ${isNew};; esac`
    await writeFile(path, `#!/bin/sh\n${remux}\nexec ${programPath('ffmpeg')} "$@"\n`, { mode: 0o755 })
    const landfall = await start({ FFMPEG_PATH: path, TOOL_SANDBOX: 'off' })
    try {
      const media: MediaJson & { cdnUrl?: string | null } = await process(
        landfall,
        'alice',
        await made('song.m4a'),
      )
      expect(media).toMatchObject({ status: 'ready', cdnUrl: `https://cdn.example/${media.id}.m4a` })
      expect(await detailOf(landfall, media.id)).toEqual(
        expect.arrayContaining([
          { status: 'failed', detail: { error: expect.stringContaining('SIGKILL') } },
          { status: 'done', detail: { copy: `public/${media.id}.m4a` } },
        ]),
      )
    } finally {
      await rm(`${path}.begun`, { force: true })
    }
  })

  it('leaves nothing in scratch, also where a worker was killed at it before', async () => {
    const landfall = await startLandfall({ storage, env: ENV, withoutWorker: true })
    onTestFinished(() => landfall.close())
    const scratch = join(landfall.dataDirectory, 'scratch')
    const first = await startLandfall({ storage, beside: landfall, env: ENV })
    const media = await process(landfall, 'alice', await made('song.m4a'))
    await first.close()
    // As one leaves it that is killed, when everything else is done.
    await mkdir(join(scratch, `${media.id}.public`, 'killed'), { recursive: true })
    await writeFile(join(scratch, `${media.id}.public`, 'killed', 'stripped-0'), 'half of it')
    await landfall.db.deleteFrom('landfall.processing_steps').where('step', '=', 'publish').execute()
    const again = await landfall.as('alice')(`/api/v1/media/${media.id}/process`, { method: 'POST' })
    expect(again.status).toBe(202)
    const second = await startLandfall({ storage, beside: landfall, env: ENV })
    await expect
      .poll(async () => await detailOf(landfall, media.id), PATIENTLY)
      .toEqual(expect.arrayContaining([expect.objectContaining({ status: 'done' })]))
    await second.close()
    expect(await filesBelow(scratch)).toEqual([])
  })
})
