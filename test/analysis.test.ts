import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'kysely'
import { afterEach, describe, expect, it } from 'vitest'
import { openQueues, QUEUES } from '../jobs/queues.ts'
import { reap } from '../jobs/upkeep/reaper.ts'
import type { MediaId } from '../ledger/ids.ts'
import { failMedia } from '../ledger/media.ts'
import { Media } from '../server/api/schemas.ts'
import { freePort } from '../server/embedded/free-port.ts'
import { jpeg, shortVideo } from './fixtures/media.ts'
import { programPath } from './services/requirements.ts'
import {
  type AnalysisEngine,
  callBack,
  ENGINE_SECRET,
  type EngineAnswer,
  says,
  startAnalysisEngine,
} from './support/analysis-engine.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { nothingFor } from './support/pauses.ts'
import { QUIET } from './support/quiet.ts'
import { describeStorages } from './support/storages.ts'
import { outcome, sendFile } from './support/uploads.ts'
import { SECRETS, startReceiver } from './support/webhook-receiver.ts'

const PATIENCE = { timeout: 20_000 }
const PENDING = { analysisId: 'a-1', status: 'pending', estimatedSeconds: 30 }
const FINISHED = {
  analysisId: 'a-1',
  status: 'finished',
  result: { labels: ['cat'] },
  confidence: 0.9,
  verdict: 'accept',
  url: 'https://engine.example/a-1',
}

const opened: { close(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close()
})

async function start(
  mode: 'advisory' | 'gate',
  answer: EngineAnswer,
  options: { storage?: 'disk' | 's3'; env?: Record<string, string>; beside?: Landfall } = {},
): Promise<{ engine: AnalysisEngine; landfall: Landfall }> {
  const engine = await startAnalysisEngine(answer)
  opened.push(engine)
  const port = await freePort()
  const landfall = await startLandfall({
    storage: options.storage ?? 'disk',
    ...(options.beside ? { beside: options.beside } : {}),
    env: {
      SCAN: 'off',
      UPLOAD_MAX_OPEN: '20',
      PORT: String(port),
      PUBLIC_URL: `http://127.0.0.1:${port}`,
      ANALYSIS: mode,
      ANALYSIS_URL: engine.url,
      ANALYSIS_SECRET: ENGINE_SECRET,
      ...options.env,
    },
  })
  opened.push(landfall)
  return { engine, landfall }
}

let pictures = 0
async function send(landfall: Landfall) {
  const file = await jpeg({ width: 640 + pictures++, height: 480 })
  return { file, ...(await sendFile(landfall, 'alice', file)) }
}

async function mediaOf(landfall: Landfall, id: string) {
  return Media.parse(await (await landfall.as('alice')(`/api/v1/media/${id}`)).json())
}

const service = (landfall: Landfall) => ({
  headers: { Authorization: `Bearer ${landfall.token('the-engine', { scope: 'service' })}` },
})

const outcomes = (landfall: Landfall) =>
  landfall.db.selectFrom('landfall.events').select('data').where('type', '=', 'analysis.finished').execute()

describeStorages('an advisory analysis', (storage) => {
  it('is asked for with a link to the bytes, holds nothing up, and is kept and told when it comes', async () => {
    const receiver = await startReceiver()
    opened.push(receiver)
    const { engine, landfall } = await start('advisory', says(PENDING), {
      storage,
      env: { WEBHOOK_URL: receiver.url, WEBHOOK_SECRET: SECRETS.join(' '), WEBHOOK_ALLOW_PRIVATE: 'true' },
    })
    const { file, uploadId } = await send(landfall)
    const { id } = await outcome(landfall, 'alice', uploadId)
    await expect.poll(async () => (await mediaOf(landfall, id)).analysis?.status, PATIENCE).toBe('pending')
    expect(await mediaOf(landfall, id)).toMatchObject({
      status: 'ready',
      analysis: { id: 'a-1', estimatedSeconds: 30, verdict: null, finishedAt: null },
    })

    const [asked] = engine.asked
    if (!asked) throw new Error('the engine was not asked')
    expect(asked.media).toMatchObject({ id, kind: 'image', contentType: 'image/jpeg', ownerId: 'alice' })
    expect(asked.media).not.toHaveProperty('analysis')
    const source = await fetch(asked.sourceUrl)
    expect(source.status).toBe(200)
    expect(Buffer.from(await source.arrayBuffer()).equals(await readFile(file.path))).toBe(true)
    expect((await fetch(asked.sourceUrl, { headers: { Range: 'bytes=0-9' } })).status).toBe(206)
    const forged = asked.sourceUrl.replace(/signature=./, (s) =>
      s.endsWith('A') ? 'signature=B' : 'signature=A',
    )
    expect((await fetch(forged)).status).toBe(401)
    expect((await landfall.as('alice')(`/api/v1/media/${id}/source`)).status).toBe(404)

    const answer = await callBack(asked.callbackUrl, FINISHED, service(landfall))
    expect(answer.status).toBe(200)
    const { analysis, status } = await mediaOf(landfall, id)
    expect(await answer.json()).toEqual(analysis)
    expect(status).toBe('ready')
    const { analysisId, ...kept } = FINISHED
    expect(analysis).toMatchObject({ ...kept, id: analysisId, estimatedSeconds: 30 })
    expect(analysis?.finishedAt).not.toBeNull()

    expect((await callBack(asked.callbackUrl, FINISHED, service(landfall))).status).toBe(200)
    await receiver.until((all) => all.some(({ type }) => type === 'analysis.finished'))
    const told = receiver.distinct().filter(({ type }) => type === 'analysis.finished')
    expect(told.map(({ data }) => data)).toMatchObject([{ id, status: 'ready', analysis }])
    expect(await outcomes(landfall)).toEqual([
      { data: { status: 'finished', verdict: 'accept', confidence: 0.9 } },
    ])
    expect(engine.asked).toHaveLength(1)
  })
})

describe('a gate', () => {
  it('opens when the engine accepts at once', async () => {
    const { landfall } = await start('gate', says(FINISHED))
    const { uploadId } = await send(landfall)
    expect(await outcome(landfall, 'alice', uploadId)).toMatchObject({
      status: 'ready',
      analysis: { verdict: 'accept' },
    })
  })

  it('is closed until the engine accepts later', async () => {
    const { engine, landfall } = await start('gate', says(PENDING))
    const { uploadId } = await send(landfall)
    await expect.poll(() => engine.asked.length, PATIENCE).toBe(1)
    const [{ callbackUrl, mediaId }] = engine.asked as [AnalysisEngine['asked'][0]]
    await expect.poll(async () => (await mediaOf(landfall, mediaId)).analysis?.id, PATIENCE).toBe('a-1')
    // Everything else has been done.
    const steps = () =>
      landfall.db
        .selectFrom('landfall.processing_steps')
        .select('step')
        .where('status', '=', 'done')
        .execute()
    await expect.poll(async () => (await steps()).map(({ step }) => step), PATIENCE).toContain('image')
    await nothingFor(500)
    expect((await mediaOf(landfall, mediaId)).status).toBe('processing')
    expect((await landfall.as('alice')(`/api/v1/media/${mediaId}/content`)).status).toBe(409)

    const ended = outcome(landfall, 'alice', uploadId)
    expect((await callBack(callbackUrl, { ...FINISHED, mediaId })).status).toBe(200)
    expect(await ended).toMatchObject({ status: 'ready' })
    const events = await landfall.db.selectFrom('landfall.events').select('type').orderBy('id').execute()
    expect(events.map(({ type }) => type)).toEqual([
      'upload.created',
      'upload.received',
      'analysis.finished',
      'media.ready',
    ])
  })

  it('rejects what the engine rejects, and keeps nothing of it', async () => {
    const { landfall } = await start('gate', says({ ...FINISHED, verdict: 'reject' }))
    const { uploadId } = await send(landfall)
    expect(await outcome(landfall, 'alice', uploadId)).toMatchObject({
      status: 'rejected',
      reason: { code: 'analysis-rejected' },
    })
    await expect.poll(() => landfall.stored.keys(), PATIENCE).toEqual([])
  })

  it.each([
    ['has failed', { analysisId: 'a-1', status: 'failed' }],
    ['has no opinion', { ...FINISHED, verdict: null }],
  ])('fails a file when the engine %s, and asks again when told to', async (_what, report) => {
    const { engine, landfall } = await start('gate', says(report))
    const { uploadId } = await send(landfall)
    const failed = await outcome(landfall, 'alice', uploadId)
    expect(failed).toMatchObject({ status: 'failed', reason: { code: 'analysis-failed' } })
    engine.answer = says({ ...FINISHED, analysisId: 'a-2' })
    const again = await landfall.as('alice')(`/api/v1/media/${failed.id}/process`, { method: 'POST' })
    expect(again.status).toBe(202)
    await expect.poll(async () => (await mediaOf(landfall, failed.id)).status, PATIENCE).toBe('ready')
    expect(new Set(engine.asked.map(({ id }) => id)).size).toBe(2)
  })

  it('gives an engine up that has not come to an end in its time', async () => {
    const { landfall } = await start('gate', says(PENDING), { env: { ANALYSIS_TIMEOUT: '1s' } })
    const { uploadId } = await send(landfall)
    const boss = await openQueues({ db: landfall.db, supervise: false, onError: () => {} })
    opened.push({ close: () => boss.stop({ close: false, graceful: false }) })
    const ended = outcome(landfall, 'alice', uploadId)
    const overdue = async () =>
      (await reap({ db: landfall.db, boss, retentionMs: 1e9, notifyListeners: () => {}, log: QUIET })).overdue
    await expect.poll(overdue, { ...PATIENCE, interval: 300 }).toBe(1)
    expect(await ended).toMatchObject({ status: 'failed', reason: { code: 'analysis-failed' } })
    expect(await outcomes(landfall)).toMatchObject([{ data: { status: 'failed' } }])
    expect(await overdue()).toBe(0)
  })
})

/** Ends what is overdue, and picks up what was dropped, as if hours had gone by. */
async function reapLater(landfall: Landfall) {
  const { db } = landfall
  await sql`update landfall.media set created_at = now() - interval '1 day'`.execute(db)
  const boss = await openQueues({ db, supervise: false, onError: () => {} })
  try {
    await reap({ db, boss, retentionMs: 1e12, notifyListeners: () => {}, log: QUIET })
    return (await boss.findJobs(QUEUES.processing)).length
  } finally {
    await boss.stop({ close: false, graceful: false })
  }
}

const processAgain = async (landfall: Landfall, id: string) =>
  expect((await landfall.as('alice')(`/api/v1/media/${id}/process`, { method: 'POST' })).status).toBe(202)

describe('a file that waits at a gate', () => {
  it('costs no job while it waits', async () => {
    const { engine, landfall } = await start('gate', says(PENDING))
    await send(landfall)
    await expect.poll(() => engine.asked.length, PATIENCE).toBe(1)
    const parked = () => landfall.db.selectFrom('landfall.media').select('is_parked').executeTakeFirst()
    await expect.poll(parked, PATIENCE).toEqual({ is_parked: true })
    const before = await reapLater(landfall)
    expect(await reapLater(landfall)).toBe(before)
  })

  it('is decoded once, however quick the engine is', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'landfall-ffmpeg-'))
    opened.push({ close: () => rm(folder, { recursive: true }) })
    const wrapper = join(folder, 'ffmpeg')
    // Without an input it is only asked what it can do.
    const noted = `case " $* " in *" -i "*) echo run >> ${folder}/runs; sleep 0.5;; esac`
    const script = `#!/bin/sh\n${noted}\nexec ${programPath('ffmpeg')} "$@"\n`
    await writeFile(wrapper, script, { mode: 0o755 })
    // In its sandbox the wrapper could not write down that it ran.
    const env = { FFMPEG_PATH: wrapper, TOOL_SANDBOX: 'off' }
    const { landfall } = await start('gate', says(FINISHED), { env })
    const { uploadId } = await sendFile(landfall, 'alice', await shortVideo())
    expect(await outcome(landfall, 'alice', uploadId)).toMatchObject({ status: 'ready' })
    await nothingFor(1500)
    // Deep check, thumbnail, storyboard, waveform.
    expect((await readFile(join(folder, 'runs'), 'utf8')).trim().split('\n')).toHaveLength(4)
  })

  it('ends, when it has failed otherwise and the time of its engine is over before it is processed again', async () => {
    const { engine, landfall } = await start('gate', says(PENDING), { env: { ANALYSIS_TIMEOUT: '1s' } })
    await send(landfall)
    await expect.poll(() => engine.asked.length, PATIENCE).toBe(1)
    const id = engine.asked[0]?.mediaId ?? ''
    await expect.poll(async () => (await mediaOf(landfall, id)).analysis?.status, PATIENCE).toBe('pending')
    await failMedia(landfall.db, id as MediaId, { code: 'processing-failed', detail: '' }, async () => {})
    const reaped = async () => {
      await reapLater(landfall)
      return (await mediaOf(landfall, id)).analysis?.status
    }
    await expect.poll(reaped, { timeout: 15_000, interval: 300 }).toBe('failed')
    engine.answer = says({ ...FINISHED, analysisId: 'a-2' })
    await processAgain(landfall, id)
    await expect.poll(async () => (await mediaOf(landfall, id)).status, PATIENCE).toBe('ready')
  })

  it('keeps what the engine says while it has failed otherwise', async () => {
    const { engine, landfall } = await start('gate', says(PENDING))
    await send(landfall)
    await expect.poll(() => engine.asked.length, PATIENCE).toBe(1)
    const { mediaId: id, callbackUrl } = engine.asked[0] ?? { mediaId: '', callbackUrl: '' }
    await expect.poll(async () => (await mediaOf(landfall, id)).analysis?.status, PATIENCE).toBe('pending')
    await failMedia(landfall.db, id as MediaId, { code: 'processing-failed', detail: '' }, async () => {})
    expect((await callBack(callbackUrl, { ...FINISHED, mediaId: id })).status).toBe(200)
    await processAgain(landfall, id)
    await expect.poll(async () => (await mediaOf(landfall, id)).status, PATIENCE).toBe('ready')
    expect(engine.asked).toHaveLength(1)
  })

  it('is asked about although it was processed before there was one', async () => {
    const off = await startLandfall({ withoutWorker: true })
    opened.push(off)
    const before = await startLandfall({ beside: off, env: { SCAN: 'off' } })
    const { id } = await outcome(off, 'alice', (await send(off)).uploadId)
    await before.close()
    // As if it had failed while it was published.
    await off.db.deleteFrom('landfall.processing_steps').where('step', 'in', ['publish', 'notify']).execute()
    await sql`update landfall.media set status = 'failed', ready_at = null`.execute(off.db)
    const { engine, landfall } = await start('gate', says(FINISHED), { beside: off })
    await processAgain(landfall, id)
    await expect.poll(() => engine.asked.length, PATIENCE).toBe(1)
    await expect.poll(async () => (await mediaOf(landfall, id)).status, PATIENCE).toBe('ready')
  })

  it('is not ended by what the engine says of an earlier question', async () => {
    const { engine, landfall } = await start('gate', says({ analysisId: 'a-1', status: 'failed' }))
    const { id } = await outcome(landfall, 'alice', (await send(landfall)).uploadId)
    let answer = () => {}
    engine.answer = (response, asked) => {
      answer = () => says({ ...FINISHED, analysisId: 'a-2' })(response, asked)
    }
    await processAgain(landfall, id)
    await expect.poll(() => engine.asked.length, PATIENCE).toBe(2)
    const late = { analysisId: 'a-1', status: 'failed', mediaId: id }
    expect((await callBack(engine.asked[0]?.callbackUrl ?? '', late)).status).toBe(409)
    answer()
    await expect.poll(async () => (await mediaOf(landfall, id)).status, PATIENCE).toBe('ready')
  })

  it('ends by a verdict that could not be written down at first', async () => {
    const { landfall } = await start('gate', says({ ...FINISHED, verdict: 'reject' }))
    await sql`create function landfall.refuse() returns trigger language plpgsql as $$
      begin raise exception 'a deadlock, say'; end $$`.execute(landfall.db)
    await sql`create trigger refuse before update on landfall.media for each row
      when (new.status = 'rejected') execute function landfall.refuse()`.execute(landfall.db)
    await send(landfall)
    const attempts = () =>
      landfall.db
        .selectFrom('landfall.processing_steps')
        .select('attempt')
        .where('step', '=', 'publish')
        .execute()
    await expect.poll(async () => (await attempts()).length, PATIENCE).toBeGreaterThan(0)
    await sql`drop trigger refuse on landfall.media`.execute(landfall.db)
    const status = () => landfall.db.selectFrom('landfall.media').select('status').executeTakeFirst()
    await expect.poll(status, PATIENCE).toEqual({ status: 'rejected' })
  })
})

describe('an engine', () => {
  it.each<[string, EngineAnswer]>([
    ['is down', (response) => void response.destroy()],
    ['breaks', says('oops', 500)],
    ['asks for patience', (response) => void response.writeHead(429, { 'Retry-After': '1' }).end()],
    ['redirects', (response) => void response.writeHead(307, { Location: '/elsewhere' }).end()],
    ['answers no JSON', says('<html>')],
    ['answers something else', says({ id: 7 })],
    ['answers a verdict of its own', says({ ...FINISHED, verdict: 'perhaps' })],
    ['answers what no database keeps', says({ ...FINISHED, result: '\0' })],
    ['answers without an end', (response) => void response.writeHead(200).write('['.repeat(300_000))],
    ['never answers', () => {}],
  ])(
    'that %s holds up no other file, and is asked again as if for the first time',
    async (_what, answer) => {
      const { engine, landfall } = await start('gate', answer)
      const sent = await Promise.all(Array.from({ length: 6 }, () => send(landfall)))
      const waiting = () =>
        landfall.db
          .selectFrom('landfall.processing_steps')
          .select('media_id')
          .where('step', '=', 'image')
          .where('status', '=', 'done')
          .execute()
      await expect.poll(async () => (await waiting()).length, PATIENCE).toBe(sent.length)
      expect(engine.asked.length).toBeGreaterThan(0)
      const before = new Set(engine.asked.map(({ id }) => id))
      engine.answer = (response, asked) => says({ ...FINISHED, analysisId: asked.mediaId })(response, asked)
      for (const { uploadId } of sent)
        expect(await outcome(landfall, 'alice', uploadId)).toMatchObject({ status: 'ready' })
      // The same question has the same id, however often it is asked.
      expect(new Set(engine.asked.map(({ id }) => id)).size).toBe(sent.length)
      expect(engine.asked.map(({ id }) => id)).toEqual(expect.arrayContaining([...before]))
    },
    60_000,
  )
})

describe('a report', () => {
  it('is taken from the engine alone, about the media it is for, once', async () => {
    const { engine, landfall } = await start('advisory', says(PENDING))
    const first = await outcome(landfall, 'alice', (await send(landfall)).uploadId)
    engine.answer = says({ ...PENDING, analysisId: 'a-2' })
    const second = await outcome(landfall, 'alice', (await send(landfall)).uploadId)
    for (const { id } of [first, second])
      await expect.poll(async () => (await mediaOf(landfall, id)).analysis?.status, PATIENCE).toBe('pending')
    const address = (id: string) => `${landfall.url}/api/v1/media/${id}/analysis`
    const at = address(first.id)
    const signed = { ...FINISHED, mediaId: first.id }
    const statusOf = async (answer: Promise<Response>) => (await answer).status

    const bearer = (token: string) => ({ headers: { Authorization: `Bearer ${token}` } })
    expect(await statusOf(fetch(at, { method: 'POST', body: '{}' }))).toBe(401)
    expect(await statusOf(callBack(at, FINISHED, bearer(landfall.token('alice'))))).toBe(403)
    expect(await statusOf(callBack(at, FINISHED, bearer(landfall.token('bob', { scope: 'admin' }))))).toBe(
      403,
    )
    expect(await statusOf(callBack(at, signed, { secret: SECRETS[0] ?? '' }))).toBe(401)
    expect(await statusOf(callBack(at, signed, { at: new Date(Date.now() - 600_000) }))).toBe(401)
    // Signed for another media, or for none.
    expect(await statusOf(callBack(address(second.id), signed))).toBe(400)
    expect(await statusOf(callBack(at, FINISHED))).toBe(400)

    const bad = [
      '',
      'null',
      '{',
      { ...signed, status: 'maybe' },
      { ...signed, verdict: 'yes' },
      { ...signed, confidence: 2 },
      { ...signed, url: 'javascript:alert(1)' },
      { ...signed, result: 'a\0b' },
      // Of a few bytes each, and thousands in a database.
      { ...signed, result: [5e-324, 1e300] },
      { ...signed, result: { 'a\0b': 1 } },
      JSON.stringify({ ...signed, result: 'x' }).replace('"x"', '"\\ud800"'),
      JSON.stringify({ ...signed, result: 'x' }).replace('"x"', '['.repeat(100) + ']'.repeat(100)),
    ]
    for (const body of bad) expect(await statusOf(callBack(at, body)), JSON.stringify(body)).toBe(400)
    const large = { ...signed, result: 'x'.repeat(300 * 1024) }
    expect(await statusOf(callBack(at, large))).toBe(413)

    expect(await statusOf(callBack(address('A'.repeat(22)), { ...signed, mediaId: 'A'.repeat(22) }))).toBe(
      404,
    )
    expect(await statusOf(callBack(at, { ...signed, analysisId: 'a-2' }))).toBe(409)
    expect((await mediaOf(landfall, first.id)).analysis?.status).toBe('pending')

    expect(await statusOf(callBack(at, { ...PENDING, estimatedSeconds: 5, mediaId: first.id }))).toBe(200)
    expect((await mediaOf(landfall, first.id)).analysis).toMatchObject({ estimatedSeconds: 5 })
    expect(await statusOf(callBack(at, signed))).toBe(200)
    expect(await statusOf(callBack(at, signed))).toBe(200)
    expect(await statusOf(callBack(at, { ...signed, verdict: 'reject' }))).toBe(409)
    expect(await statusOf(callBack(at, { ...PENDING, mediaId: first.id }))).toBe(409)
    expect((await mediaOf(landfall, first.id)).analysis).toMatchObject({ verdict: 'accept' })
    expect(await outcomes(landfall)).toHaveLength(1)

    expect((await landfall.as('alice')(`/api/v1/media/${second.id}`, { method: 'DELETE' })).status).toBe(204)
    const late = { ...FINISHED, analysisId: 'a-2', mediaId: second.id }
    expect(await statusOf(callBack(address(second.id), late))).toBe(404)
  })

  it('about a media that nobody has asked about is not taken', async () => {
    const { landfall } = await start('advisory', says(PENDING), { env: { ANALYSIS: 'off' } })
    const { id } = await outcome(landfall, 'alice', (await send(landfall)).uploadId)
    const at = `${landfall.url}/api/v1/media/${id}/analysis`
    expect((await callBack(at, { ...FINISHED, mediaId: id })).status).toBe(404)
  })
})
