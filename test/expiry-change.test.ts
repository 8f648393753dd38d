import { sql } from 'kysely'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { asUploadId } from './support/ids.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { tusRequest } from './support/raw-http.ts'
import { asJpeg } from './support/sample-bytes.ts'
import { statusOf } from './support/status.ts'
import { describeStorages } from './support/storages.ts'
import { createId, head, patch } from './support/tus.ts'

const BYTES = asJpeg(Buffer.alloc(5000, 'x'))
const HALF = 2500
const HOUR_MS = 3_600_000

describeStorages('an upload that was opened under another UPLOAD_EXPIRES_AFTER', (storage) => {
  let first: Landfall
  const started: Landfall[] = []

  beforeEach(async () => {
    first = await start('24h')
  })
  afterEach(async () => {
    for (const landfall of started.splice(0).reverse()) await landfall.close()
  })

  async function start(expiresAfter: string, beside?: Landfall): Promise<Landfall> {
    const landfall = await startLandfall({
      storage,
      withoutWorker: true,
      env: { UPLOAD_EXPIRES_AFTER: expiresAfter },
      beside,
    })
    started.push(landfall)
    return landfall
  }

  async function halfAnUpload(landfall: Landfall): Promise<string> {
    const id = await createId(landfall, 'alice', { size: BYTES.length })
    await patch(landfall, 'alice', id, { offset: 0, body: BYTES.subarray(0, HALF) })
    return id
  }

  it('stays open for as long as it was promised, at a server that grants less', async () => {
    const id = await halfAnUpload(first)
    await letPass(first, id, 3)
    const second = await start('1h', first)

    const found = await head(second, 'alice', id)
    expect([found.status, found.headers.get('Upload-Offset')]).toEqual([200, String(HALF)])
    const body = BYTES.subarray(HALF, HALF + 1)
    const part = await patch(second, 'alice', id, { offset: HALF, body })
    expect(part.status).toBe(204)
    const promised = (await ledgerRow(first, id)).expires_at.getTime()
    expect(promised).toBeGreaterThan(Date.now() + 20 * HOUR_MS)
    expect(expiryOf(part)).toBe(Math.floor(promised / 1000))
    const rest = await patch(second, 'alice', id, { offset: HALF + 1, body: BYTES.subarray(HALF + 1) })
    expect(rest.status).toBe(204)
    expect(await statusOf(second, 'alice', id)).toMatchObject({ state: 'received' })
  })

  it.each([
    ['less', '1h'],
    ['more', '72h'],
  ])('has expired when its own time is over, at a server that grants %s', async (_what, expiresAfter) => {
    const id = await halfAnUpload(first)
    await letPass(first, id, 24)
    const second = await start(expiresAfter, first)

    for (const server of [first, second]) {
      expect((await head(server, 'alice', id)).status).toBe(410)
      const append = { offset: HALF, body: BYTES.subarray(HALF) }
      const answer = await patch(server, 'alice', id, append)
      expect([answer.status, await answer.json()]).toEqual([
        410,
        expect.objectContaining({ code: 'upload-expired' }),
      ])
    }
    expect((await ledgerRow(first, id)).offset).toBe(HALF)
  })

  it('has its new expiry when it is opened anew', async () => {
    const second = await start('1h', first)
    const now = Date.now() / 1000
    const headers = { 'Upload-Length': String(BYTES.length) }
    const answer = await tusRequest(second, 'alice', { method: 'POST', headers })
    const expires = Date.parse(String(answer.headers['upload-expires'])) / 1000
    expect(answer.status).toBe(201)
    expect(expires - now).toBeGreaterThan(3500)
    expect(expires - now).toBeLessThan(3700)
  })
})

/** As if the upload had been opened this much earlier. */
async function letPass({ db }: Landfall, id: string, hours: number): Promise<void> {
  const passed = sql`make_interval(hours => ${hours})`
  await db
    .updateTable('landfall.uploads')
    .set({
      created_at: sql<Date>`created_at - ${passed}`,
      updated_at: sql<Date>`updated_at - ${passed}`,
      expires_at: sql<Date>`expires_at - ${passed}`,
    })
    .where('id', '=', asUploadId(id))
    .execute()
}

async function ledgerRow({ db }: Landfall, id: string) {
  return await db
    .selectFrom('landfall.uploads')
    .select(['offset', 'expires_at'])
    .where('id', '=', asUploadId(id))
    .executeTakeFirstOrThrow()
}

/** What the answer says of the expiry, in seconds since 1970: HTTP knows no smaller unit. */
const expiryOf = (answer: Response): number =>
  Date.parse(answer.headers.get('Upload-Expires') ?? 'nothing') / 1000
