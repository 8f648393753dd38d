import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eicarTailVideo, jpeg } from './fixtures/media.ts'
import { requires } from './services/requirements.ts'
import { runCommand } from './support/command.ts'
import { type ServerProcess, startServerProcess } from './support/server-process.ts'
import { createId, patch, terminate } from './support/tus.ts'
import { outcome, process as processed, sendFile } from './support/uploads.ts'

const ffmpeg = requires('ffmpeg')
const clamd = requires('clamd')

type Line = Record<string, unknown> & { level: number; msg: string }
const LEVEL = { info: 30, warn: 40, error: 50 }

describe.skipIf(!ffmpeg.met || !clamd.met)('what happened to a file is in the log', () => {
  let target: ServerProcess
  beforeAll(async () => {
    target = await startServerProcess()
  })
  afterAll(() => target?.stop())

  const lines = (): Line[] =>
    target
      .run()
      .stderr()
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line))
  const endsOf = (uploadId: string) =>
    lines().filter((line) => line.uploadId === uploadId && line.event !== undefined)
  const untilEnded = async (uploadId: string, events: readonly string[]) => {
    await expect.poll(() => endsOf(uploadId).map(({ event }) => event), { timeout: 30_000 }).toEqual(events)
    return endsOf(uploadId)
  }

  it('of one that becomes ready, and is deleted: by server and worker, with the same ids', async () => {
    const file = await jpeg({ width: 1600, height: 900 })
    const media = await processed(target, 'alice', file)
    const deleted = await target.as('alice')(`/api/v1/media/${media.id}`, { method: 'DELETE' })
    expect(deleted.status).toBe(204)
    const ends = await untilEnded(media.uploadId, ['upload.received', 'media.ready', 'media.deleted'])
    const ids = { uploadId: media.uploadId, mediaId: media.id, ownerId: 'alice' }
    for (const end of ends) {
      expect(end).toMatchObject({ ...ids, level: LEVEL.info, reason: null, bytes: file.size })
      expect(end.durationMs).toBeGreaterThanOrEqual(0)
    }
    expect(ends.map(({ name }) => name)).toEqual(['landfall', 'landfall-worker', 'landfall'])
    expect(ends[2]?.requestId).toBe(deleted.headers.get('X-Request-Id'))
    expect(ends[0]?.requestId).toMatch(/^[0-9a-f-]{36}$/)
  })

  it('of one that its client ends', async () => {
    const id = await createId(target, 'bob', { size: 10_000, metadata: { filename: 'a.jpg' } })
    const bytes = (await readFile((await jpeg({ width: 1600, height: 900 })).path)).subarray(0, 5_000)
    await patch(target, 'bob', id, { offset: 0, body: bytes })
    await terminate(target, 'bob', id)
    const [end] = await untilEnded(id, ['upload.terminated'])
    expect(end).toMatchObject({
      level: LEVEL.info,
      msg: 'upload terminated',
      ownerId: 'bob',
      mediaId: null,
      bytes: 5_000,
      reason: null,
    })
  })

  it('of one that is infected, as a warning', async () => {
    const file = await eicarTailVideo()
    const { uploadId: id } = await sendFile(target, 'carol', file)
    await outcome(target, 'carol', id)
    const ends = await untilEnded(id, ['upload.received', 'media.rejected'])
    expect(ends[1]).toMatchObject({ level: LEVEL.warn, reason: 'infected', bytes: file.size })
  })

  it('of one whose bytes the storage has lost, as an error', async () => {
    const id = await createId(target, 'dave', { size: 10_000, metadata: { filename: 'a.jpg' } })
    const bytes = (await readFile((await jpeg({ width: 1600, height: 900 })).path)).subarray(0, 10_000)
    await patch(target, 'dave', id, { offset: 0, body: bytes.subarray(0, 5_000) })
    await rm(join(target.dataDirectory, 'objects', 'uploads', id))
    // The first may begin anew where the file ended, and finds that it is not what was acknowledged.
    const answer = await patch(target, 'dave', id, { offset: 5_000, body: bytes.subarray(5_000) })
    if (answer.status === 410) {
      const [end] = await untilEnded(id, ['upload.rejected'])
      expect(end).toMatchObject({ level: LEVEL.error, reason: 'bytes-lost' })
    } else {
      expect(answer.status).toBe(409)
    }
  })

  it('of one that expires', async () => {
    const id = await createId(target, 'erin', { size: 10_000, metadata: { filename: 'a.jpg' } })
    const db = await target.openLedger()
    await db
      .updateTable('landfall.uploads')
      .set({ expires_at: new Date(Date.now() - 60_000) })
      .where('id', '=', id)
      .execute()
    await db.destroy()
    const { exitCode, stderr } = await runCommand(target.dataDirectory, ['reap'], { LOG_LEVEL: 'info' })
    expect(exitCode).toBe(0)
    const told = stderr.split('\n').map((line) => JSON.parse(line) as Line)
    const inCommand = told.filter(({ uploadId }) => uploadId === id)
    // A worker may have been quicker.
    const [end, ...more] = [...inCommand, ...endsOf(id)]
    expect(end).toMatchObject({
      event: 'upload.expired',
      level: LEVEL.info,
      uploadId: id,
      ownerId: 'erin',
      bytes: 0,
    })
    expect(more).toEqual([])
  })

  it('of one that had expired before its client ended it: once', async () => {
    const id = await createId(target, 'gina', { size: 10_000, metadata: { filename: 'a.jpg' } })
    const db = await target.openLedger()
    await db
      .updateTable('landfall.uploads')
      .set({ expires_at: new Date(Date.now() - 60_000), reap_after: new Date(Date.now() - 60_000) })
      .where('id', '=', id)
      .execute()
    await db.destroy()
    const { stderr } = await runCommand(target.dataDirectory, ['reap'], { LOG_LEVEL: 'info' })
    expect((await terminate(target, 'gina', id)).status).toBe(204)
    const marker = await createId(target, 'gina', { size: 10_000, metadata: { filename: 'b.jpg' } })
    await terminate(target, 'gina', marker)
    await untilEnded(marker, ['upload.terminated'])
    const told = stderr
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Line)
      .filter(({ uploadId }) => uploadId === id)
    expect([...told, ...endsOf(id)].map(({ event }) => event)).toEqual(['upload.expired'])
  })

  it('of one that was received and whose upload its client ends: of both, the media item too', async () => {
    const file = await jpeg({ width: 1600, height: 900 })
    const media = await processed(target, 'henry', file)
    const ended = await terminate(target, 'henry', media.uploadId)
    expect(ended.status).toBe(204)
    const ends = await untilEnded(media.uploadId, [
      'upload.received',
      'media.ready',
      'upload.terminated',
      'media.deleted',
    ])
    expect(ends[3]).toMatchObject({ mediaId: media.id, ownerId: 'henry', bytes: file.size, reason: null })
    expect(ends[3]?.requestId).toBe(ends[2]?.requestId)
  })

  it('and a request that fails has one line, with the error and the id that its client got', async () => {
    const db = await target.openLedger()
    const id = await createId(target, 'frank', { size: 10_000, metadata: { filename: 'a.jpg' } })
    await db.schema.alterTable('uploads').renameTo('uploads_away').execute()
    let requestId: string | null
    try {
      const answer = await target.as('frank')(`/api/v1/uploads/${id}`)
      expect(answer.status).toBe(500)
      requestId = answer.headers.get('X-Request-Id')
    } finally {
      await db.schema.withSchema('landfall').alterTable('uploads_away').renameTo('uploads').execute()
      await db.destroy()
    }
    const told = () => lines().filter((line) => JSON.stringify(line).includes(String(requestId)))
    await expect.poll(told).toHaveLength(1)
    expect(told()[0]).toMatchObject({ level: LEVEL.error, requestId, err: { message: expect.any(String) } })
  })

  it('in lines of JSON and nothing else', () => {
    expect(lines().length).toBeGreaterThan(5)
    expect(new Set(lines().map(({ level }) => typeof level))).toEqual(new Set(['number']))
  })
})
