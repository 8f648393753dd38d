import { truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { startLandfall } from './support/landfall.ts'
import { asJpeg } from './support/sample-bytes.ts'
import { createId, head, patch } from './support/tus.ts'

it('a file that has lost bytes is told of alike by HEAD and by 409, and is whole when they are sent again', async () => {
  const landfall = await startLandfall({ withoutWorker: true })
  onTestFinished(() => landfall.close())
  const bytes = asJpeg(Buffer.alloc(20_000, 'x'))
  const id = await createId(landfall, 'alice', { size: bytes.length })
  await patch(landfall, 'alice', id, { offset: 0, body: bytes.subarray(0, 7000) })
  const path = join('uploads', id)
  await truncate(join(landfall.dataDirectory, 'objects', path), 3000)
  const refused = await patch(landfall, 'alice', id, { offset: 7000, body: bytes.subarray(7000) })
  expect([refused.status, refused.headers.get('upload-offset')]).toEqual([409, '3000'])
  expect((await head(landfall, 'alice', id)).headers.get('upload-offset')).toBe('3000')
  // A part of them first: what the ledger counts is more than what is there then.
  for (const [from, to] of [
    [3000, 5000],
    [5000, 9000],
    [9000, 20_000],
  ] as const) {
    const answer = await patch(landfall, 'alice', id, { offset: from, body: bytes.subarray(from, to) })
    expect([answer.status, answer.headers.get('upload-offset')]).toEqual([204, String(to)])
    expect((await head(landfall, 'alice', id)).headers.get('upload-offset')).toBe(String(to))
  }
  expect((await landfall.stored.bytes(path)).equals(bytes)).toBe(true)
})
