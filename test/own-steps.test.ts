import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { sql } from 'kysely'
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { jpeg, shortVideo } from './fixtures/media.ts'
import { requires } from './services/requirements.ts'
import { exampleWith } from './support/doc-examples.ts'
import { moduleOf, says } from './support/hooks.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { slowly } from './support/pauses.ts'
import { sha256Of } from './support/s3-landfall.ts'
import { startServerProcess } from './support/server-process.ts'
import { describeStorages } from './support/storages.ts'
import { leftIn } from './support/stored.ts'
import { outcome, process as processed, sendFile } from './support/uploads.ts'
import { type Answer, type Receiver, SECRETS, startReceiver } from './support/webhook-receiver.ts'

const ffmpeg = requires('ffmpeg')
const PATIENTLY = { timeout: 30_000, interval: 50 }

type Media = Record<string, unknown>
const mediaOf = async (landfall: Pick<Landfall, 'as'>, uploadId: string) => {
  const { mediaId } = (await (await landfall.as('alice')(`/api/v1/uploads/${uploadId}`)).json()) as {
    mediaId: string
  }
  return (await (await landfall.as('alice')(`/api/v1/media/${mediaId}`)).json()) as Media
}
const stepsOf = async (landfall: Pick<Landfall, 'db'>, uploadId: string) =>
  (
    await sql<{ step: string; attempt: number; status: string; detail: Record<string, unknown> | null }>`
      select s.step, s.attempt, s.status, s.detail from landfall.processing_steps s
        join landfall.media m on m.id = s.media_id where m.upload_id = ${uploadId}
       order by s.started_at, s.attempt`.execute(landfall.db)
  ).rows
const picture = () => jpeg({ width: 640, height: 480 })

describe.skipIf(!ffmpeg.met)('a hook by HTTP, before a file is published,', () => {
  let receiver: Receiver
  let landfall: Landfall
  beforeAll(async () => {
    receiver = await startReceiver()
    landfall = await startLandfall({
      env: { HOOK_URL: receiver.url, HOOK_SECRET: SECRETS.join(','), HOOK_TIMEOUT: '500ms', SCAN: 'off' },
    })
  })
  afterEach(() => {
    receiver.answer = says({})
    receiver.received.length = 0
  })
  afterAll(async () => {
    await landfall?.close()
    await receiver?.close()
  })
  const asked = () => receiver.received.filter(({ type }) => type === 'pre-publish')
  /** Accepts every upload, and answers so about its file. */
  const about =
    (answer: Answer): Answer =>
    (response, message, earlier) =>
      (message.type === 'pre-publish' ? answer : says({}))(response, message, earlier)

  it('is asked about what was found, and lets it be ready', async () => {
    receiver.answer = about((response) => void response.writeHead(204).end())
    const file = await picture()
    const media = await processed(landfall, 'alice', file)
    expect(media.status).toBe('ready')
    const [question] = asked()
    expect(question?.id).toBe(`pre-publish_${media.id}`)
    expect(question?.data.media).toMatchObject({
      id: media.id,
      uploadId: media.uploadId,
      ownerId: 'alice',
      status: 'processing',
      kind: 'image',
      width: 640,
      height: 480,
      sha256: sha256Of(await readFile(file.path)),
    })
    expect(asked()).toHaveLength(1)
  })

  it('refuses it with a message, and nothing is left', async () => {
    receiver.answer = about(says({ refuse: { message: 'No pictures of cats.' } }))
    const { uploadId } = await sendFile(landfall, 'alice', await picture())
    const media = await outcome(landfall, 'alice', uploadId)
    expect(media).toMatchObject({
      status: 'rejected',
      reason: { code: 'refused-by-hook', detail: 'No pictures of cats.' },
    })
    const left = async () => (await leftIn(landfall.stored)).filter((key) => key.includes(uploadId))
    await expect.poll(left, PATIENTLY).toEqual([])
  })

  it('describes it', async () => {
    receiver.answer = about(
      says({ title: 'Found', metadata: { label: 'tree' }, attachedTo: { type: 'album', id: '3' } }),
    )
    const { uploadId } = await sendFile(landfall, 'alice', await picture())
    expect(await outcome(landfall, 'alice', uploadId)).toMatchObject({
      status: 'ready',
      title: 'Found',
      metadata: { label: 'tree' },
      attachedTo: { type: 'album', id: '3' },
    })
  })

  const NO_ANSWERS: [string, Answer][] = [
    ['500', says('oops', 500)],
    ['nothing', () => {}],
    ['nonsense', says({ refuse: 'yes' })],
    ['a status, which only an upload has', says({ refuse: { status: 403, message: 'No.' } })],
    ['metadata beyond its limits', says({ metadata: { a: 'x'.repeat(5000) } })],
    ['a hang-up', (response) => void response.destroy()],
  ]
  it.each(NO_ANSWERS)('that answers %s keeps it waiting, and is asked again', async (_what, answer) => {
    receiver.answer = about(answer)
    const { uploadId } = await sendFile(landfall, 'alice', await picture())
    await expect.poll(() => asked().length, PATIENTLY).toBe(1)
    await slowly(700)
    expect(await mediaOf(landfall, uploadId)).toMatchObject({ status: 'processing' })
    receiver.answer = about(says({}))
    expect(await outcome(landfall, 'alice', uploadId)).toMatchObject({ status: 'ready' })
    // Waiting is no failed attempt.
    const attempts = (await stepsOf(landfall, uploadId)).filter(({ step }) => step === 'pre-publish')
    expect(attempts.map(({ status }) => status)).toEqual(['done'])
  })

  it('is passed over where the operator wants that', async () => {
    const lenient = await startLandfall({
      env: {
        HOOK_URL: 'http://127.0.0.1:9/',
        HOOK_SECRET: SECRETS.join(','),
        HOOK_UNAVAILABLE: 'allow',
        SCAN: 'off',
      },
    })
    onTestFinished(() => lenient.close())
    expect(await processed(lenient, 'alice', await picture())).toMatchObject({ status: 'ready' })
  })
})

describeStorages.skipIf(!ffmpeg.met)('a module of hooks, in the worker,', (storage) => {
  async function withHooks(source: string): Promise<Landfall> {
    const path = await moduleOf(source)
    const landfall = await startLandfall({
      storage,
      env: { HOOKS: path, HOOK_TIMEOUT: '2s', SCAN: 'off', UPLOAD_MAX_OPEN: '100' },
    })
    onTestFinished(() => landfall.close())
    return landfall
  }

  it('reads the file, refuses it, or describes it', async () => {
    const landfall = await withHooks(`
      import { createHash } from 'node:crypto'
      export default {
        async prePublish({ media }, { openFile }) {
          const hash = createHash('sha256')
          for await (const chunk of await openFile()) hash.update(chunk)
          if (hash.digest('hex') !== media.sha256) return { refuse: { message: 'another file' } }
          if (media.width === 320) return { refuse: { message: 'Too narrow for us.' } }
          return { metadata: { width: String(media.width) } }
        },
      }`)
    expect(await processed(landfall, 'alice', await picture())).toMatchObject({
      status: 'ready',
      metadata: { width: '640' },
    })
    expect(await processed(landfall, 'alice', await jpeg({ width: 320, height: 240 }))).toMatchObject({
      status: 'rejected',
      reason: { code: 'refused-by-hook', detail: 'Too narrow for us.' },
    })
  })

  it('does what the example of the documents says', async () => {
    const { code } = exampleWith('docs/hooks.md', 'first-bytes')
    const landfall = await withHooks(code)
    expect(await processed(landfall, 'alice', await picture())).toMatchObject({
      status: 'ready',
      metadata: { begins: expect.stringMatching(/^ffd8ff/) },
    })
    const flash = await shortVideo({ width: 320, height: 240, seconds: 0.5 })
    expect(await processed(landfall, 'alice', flash)).toMatchObject({
      status: 'rejected',
      reason: { code: 'refused-by-hook', detail: 'The film is too short.' },
    })
  })

  it('adds steps, each for its kinds, before its hook is asked', async () => {
    const landfall = await withHooks(`
      import { createWriteStream } from 'node:fs'
      import { readdir, stat } from 'node:fs/promises'
      import { pipeline } from 'node:stream/promises'
      let folders = []
      export default {
        steps: [
          {
            name: 'measure',
            usesFolder: true,
            async run({ media, openFile, folder }) {
              if ((await readdir(folder)).length > 0) throw new Error('the folder is not empty')
              await pipeline(await openFile(), createWriteStream(folder + '/copy'))
              folders.push(folder)
              return { metadata: { measured: String((await stat(folder + '/copy')).size) } }
            },
          },
          { name: 'videos', kinds: ['video'], run: async () => ({ title: 'A video' }) },
        ],
        async prePublish({ media }) {
          const left = await Promise.allSettled(folders.map((folder) => stat(folder)))
          const isClean = left.every(({ status }) => status === 'rejected')
          return { metadata: { seen: media.metadata.measured, isClean: String(isClean) } }
        },
      }`)
    const file = await picture()
    const media = await processed(landfall, 'alice', file)
    const size = String(file.size)
    expect(media).toMatchObject({
      status: 'ready',
      title: null,
      metadata: { measured: size, seen: size, isClean: 'true' },
    })
    const steps = await stepsOf(landfall, media.uploadId)
    expect(steps.find(({ step }) => step === 'own:measure')).toMatchObject({ attempt: 1, status: 'done' })
    expect(steps.find(({ step }) => step === 'own:videos')?.detail).toEqual({ skipped: 'not for image' })
    const film = await processed(landfall, 'alice', await shortVideo({ width: 320, height: 240, seconds: 1 }))
    expect(film).toMatchObject({ status: 'ready', title: 'A video' })
  }, 60_000)

  it('tries a step again that throws, hangs or answers nonsense, and rejects what it refuses', async () => {
    const landfall = await withHooks(`
      const tries = new Map()
      const failing = (fail) => async ({ media }) => {
        if (media.filename !== 'picture.jpg' && media.width === 320) return { refuse: { message: 'No.' } }
        const count = (tries.get(fail) ?? 0) + 1
        tries.set(fail, count)
        return count === 1 ? await fail() : { metadata: { [fail.name]: String(count) } }
      }
      const throws = () => { throw new Error('once') }
      const hangs = () => new Promise(() => {})
      const babbles = () => 'nonsense'
      export default {
        steps: [throws, hangs, babbles].map((fail) => ({
          name: fail.name, timeoutSeconds: 0.3, run: failing(fail),
        })),
      }`)
    const media = await processed(landfall, 'alice', await picture())
    expect(media).toMatchObject({ status: 'ready', metadata: { throws: '2', hangs: '2', babbles: '2' } })
    const steps = await stepsOf(landfall, media.uploadId)
    for (const name of ['throws', 'hangs', 'babbles'])
      expect(steps.filter(({ step }) => step === `own:${name}`).map(({ status }) => status)).toEqual([
        'failed',
        'done',
      ])
    expect(await processed(landfall, 'alice', await jpeg({ width: 320, height: 240 }))).toMatchObject({
      status: 'rejected',
      reason: { code: 'refused-by-hook', detail: 'No.' },
    })
  }, 90_000)
})

describe.skipIf(!ffmpeg.met)('a step of a module', () => {
  it('whose worker is killed in the middle is run again, and the file is ready', async () => {
    const path = await moduleOf(`
      import { appendFileSync, readFileSync } from 'node:fs'
      const log = new URL('./runs.txt', import.meta.url)
      export default {
        steps: [
          {
            name: 'slow',
            async run({ media }: { media: { id: string } }) {
              appendFileSync(log, media.id + '\\n')
              const runs = readFileSync(log, 'utf8').trim().split('\\n').length
              if (runs === 1) await new Promise(() => {})
              return { metadata: { runs: String(runs) } }
            },
          },
        ],
      }`)
    const server = await startServerProcess({ HOOKS: path, SCAN: 'off' })
    onTestFinished(() => server.stop())
    const { uploadId } = await sendFile(server, 'alice', await picture())
    const runs = async () => (await readFile(join(dirname(path), 'runs.txt'), 'utf8').catch(() => '')).length
    await expect.poll(runs, PATIENTLY).toBeGreaterThan(0)
    process.kill(await server.untilWorker(), 'SIGKILL')
    expect(await outcome(server, 'alice', uploadId)).toMatchObject({
      status: 'ready',
      metadata: { runs: '2' },
    })
  }, 120_000)

  const run = 'run: async () => undefined'
  it.each([
    ['is no step', '[7]', /steps\[0\], which is no step/],
    ['has no name', `[{ ${run} }]`, /steps\[0\], whose name is none/],
    ['has a name of another form', `[{ name: 'A b', ${run} }]`, /steps\[0\], whose name is none/],
    [
      'has the name of another',
      `[{ name: 'a', ${run} }, { name: 'a', ${run} }]`,
      /two steps with the name "a"/,
    ],
    ['does nothing', `[{ name: 'a' }]`, /whose "run" takes a function/],
    ['is for a kind that does not exist', `[{ name: 'a', kinds: ['film'], ${run} }]`, /"kinds" are not of/],
    ['has no time', `[{ name: 'a', timeoutSeconds: 0, ${run} }]`, /"timeoutSeconds" takes a number above 0/],
    ['has a member that does not exist', `[{ name: 'a', timeout: 5, ${run} }]`, /which has "timeout"/],
    ['is not in a list', '7', /has "steps", which is no list/],
  ])('that %s stops the start', async (_what, steps, message) => {
    const path = await moduleOf(`export default { steps: ${steps} }`)
    await expect(startLandfall({ withoutWorker: true, env: { HOOKS: path } })).rejects.toThrow(message)
  })
})
