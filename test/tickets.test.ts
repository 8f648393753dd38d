import { readFile } from 'node:fs/promises'
import { sql } from 'kysely'
import { Upload } from 'tus-js-client'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { prune } from '../jobs/upkeep/pruner.ts'
import { newUploadId } from '../ledger/ids.ts'
import { jpeg, madeByFfmpeg, shortVideo } from './fixtures/media.ts'
import { type Landfall, startLandfall } from './support/landfall.ts'
import { raceAfter } from './support/pauses.ts'
import { guardedRoutes } from './support/routes.ts'
import { asJpeg } from './support/sample-bytes.ts'
import { describeStorages } from './support/storages.ts'
import { inTenant } from './support/tenant.ts'
import { create, createId, head, idOf, patch, terminate } from './support/tus.ts'
import { outcome, sendFile } from './support/uploads.ts'

type TicketJson = {
  id: string
  token: string
  state: string
  used: number
  ownerId: string
  tenantId: string | null
  beginBefore: string
}

const SIZE = 5000
const BYTES = asJpeg(Buffer.alloc(SIZE, 'x'))

describeStorages('an upload ticket', (storage) => {
  let landfall: Landfall
  beforeAll(async () => {
    landfall = await startLandfall({
      storage,
      env: { SCAN: 'off', AUTH_TENANT: 'optional', UPLOAD_MAX_OPEN: '100', UPLOAD_MAX_SIZE: '10MB' },
    })
  })
  afterAll(() => landfall?.close())

  const backend = (tenant: string | null = null, scope = 'service') =>
    inTenant(landfall, tenant, scope).as('backend')
  const post = (as: ReturnType<typeof backend>, body: object, query = '') =>
    as(`/api/v1/tickets${query}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    })
  const issue = async (body: object, tenant: string | null = null) => {
    const response = await post(backend(tenant), { owner: 'alice', ...body })
    if (response.status !== 201) throw new Error(`${response.status}: ${await response.text()}`)
    return (await response.json()) as TicketJson
  }
  /** The server as a client with this ticket sees it. */
  const bearing = ({ token }: TicketJson, at = landfall): Landfall => ({
    ...at,
    token: () => token,
    as: () => (path, init) => {
      const headers = new Headers(init?.headers)
      headers.set('Authorization', `Bearer ${token}`)
      return fetch(at.url + path, { ...init, headers })
    },
  })
  const codeOf = async (response: Response) => [
    response.status,
    ((await response.json()) as { code: string }).code,
  ]
  const stateOf = async ({ id }: TicketJson) =>
    (await (await backend()(`/api/v1/tickets/${id}`)).json()) as TicketJson

  it('lets its client upload one file for its owner', async () => {
    const ticket = await issue({ metadata: { course: '7' } })
    expect(ticket).toMatchObject({ state: 'open', used: 0, ownerId: 'alice', tenantId: null })
    const { uploadId } = await sendFile(bearing(ticket), '', await jpeg({ width: 640, height: 480 }))
    const media = await outcome(landfall, 'alice', uploadId)
    expect(media).toMatchObject({ status: 'ready', ownerId: 'alice' })
    expect(await stateOf(ticket)).toMatchObject({ state: 'used', used: 1 })
    expect(await codeOf(await create(bearing(ticket), '', { size: SIZE }))).toEqual([403, 'ticket-used'])
    expect(media).toMatchObject({ metadata: { course: '7' } })
  })

  it('says what an upload belongs to, whatever its client says', async () => {
    const ticket = await issue({
      attachedTo: { type: 'course', id: '7' },
      metadata: { price: '1' },
      title: 'Lesson',
      captions: ['en', 'de'],
    })
    const id = await createId(bearing(ticket), '', {
      size: SIZE,
      metadata: { price: '100', note: 'mine', title: 'Another' },
    })
    expect(await (await landfall.as('alice')(`/api/v1/uploads/${id}`)).json()).toMatchObject({
      attachedTo: { type: 'course', id: '7' },
      title: 'Lesson',
      captions: ['en', 'de'],
      metadata: { price: '1', note: 'mine' },
    })
    const other = { size: SIZE, metadata: { attachedToType: 'course', attachedToId: '8' } }
    expect(await codeOf(await create(bearing(await issue({})), '', other))).toEqual([403, 'forbidden'])
  })

  it('is used by partial uploads and their file as by one upload', async () => {
    const file = await shortVideo()
    const ticket = await issue({})
    const bytes = await readFile(file.path)
    const url = await new Promise<string | null>((resolve, reject) => {
      const upload = new Upload(bytes, {
        endpoint: `${landfall.url}/files`,
        headers: { Authorization: `Bearer ${ticket.token}` },
        metadata: { filename: file.name, filetype: file.contentType },
        parallelUploads: 2,
        chunkSize: Number.POSITIVE_INFINITY,
        onError: reject,
        onSuccess: () => resolve(upload.url),
      })
      upload.start()
    })
    const media = await outcome(landfall, 'alice', url?.split('/').at(-1) ?? '')
    expect(media.status).toBe('ready')
    expect(await stateOf(ticket)).toMatchObject({ state: 'used', used: 1 })
    const partial = { size: 10, headers: { 'Upload-Concat': 'partial' } }
    expect(await codeOf(await create(bearing(ticket), '', partial))).toEqual([403, 'ticket-used'])
  })

  it('makes no file of partial uploads that were begun without it', async () => {
    const partial = { size: 10, headers: { 'Upload-Concat': 'partial' } }
    const own = await createId(landfall, 'alice', partial)
    const ticket = await issue({ count: 2 })
    const others = await createId(bearing(await issue({})), '', partial)
    for (const id of [own, others]) {
      const final = await bearing(ticket).as('')('/files', {
        method: 'POST',
        headers: { 'Tus-Resumable': '1.0.0', 'Upload-Concat': `final;/files/${id}` },
      })
      expect(await codeOf(final)).toEqual([400, 'invalid-concat'])
    }
  })

  it('is a bearer of the IETF draft, too', async () => {
    const ticket = await issue({})
    const headers = {
      Authorization: `Bearer ${ticket.token}`,
      'Upload-Draft-Interop-Version': '8',
      'Upload-Complete': '?0',
    }
    const created = await fetch(`${landfall.url}/files`, {
      method: 'POST',
      headers: { ...headers, 'Upload-Length': String(SIZE) },
    })
    expect(created.status).toBe(201)
    const again = await fetch(`${landfall.url}/files`, {
      method: 'POST',
      headers: { ...headers, 'Upload-Length': String(SIZE) },
    })
    expect(await codeOf(again)).toEqual([403, 'ticket-used'])
  })

  it('limits the size, also of a length that is told later', async () => {
    const ticket = await issue({ maxSize: SIZE, count: 10 })
    const bearer = bearing(ticket)
    const refused = await create(bearer, '', { size: SIZE + 1 })
    expect([refused.status, await refused.json()]).toMatchObject([413, { code: 'too-large', maxSize: SIZE }])
    const deferred = await fetch(`${landfall.url}/files`, {
      method: 'POST',
      headers: {
        Authorization: `Bearer ${ticket.token}`,
        'Tus-Resumable': '1.0.0',
        'Upload-Defer-Length': '1',
      },
    })
    expect(deferred.status).toBe(201)
    const id = idOf(deferred)
    const body = Buffer.concat([BYTES, Buffer.from('more')])
    const long = await patch(bearer, '', id, {
      offset: 0,
      body,
      headers: { 'Upload-Length': String(SIZE + 4) },
    })
    expect(await codeOf(long)).toEqual([413, 'too-large'])
    const tooMany = await patch(bearer, '', id, { offset: 0, body })
    expect(tooMany.status).toBe(413)
    const offset = Number((await head(landfall, 'alice', id)).headers.get('Upload-Offset'))
    expect(offset).toBeLessThanOrEqual(SIZE)
    const quota = await (await landfall.as('alice')('/api/v1/uploads')).json()
    const shown = (quota as { items: { id: string; reservedBytes: number }[] }).items.find(
      (one) => one.id === id,
    )
    expect(shown?.reservedBytes).toBe(SIZE)
  })

  it('limits the types: by name, by the first bytes, and by the streams', async () => {
    const ticket = await issue({ allowedTypes: ['audio/*', 'image/png'], count: 10 })
    const bearer = bearing(ticket)
    const named = await create(bearer, '', { size: SIZE, metadata: { filename: 'a.jpg' } })
    expect(await codeOf(named)).toEqual([415, 'type-not-allowed'])
    const id = await createId(bearer, '', { size: SIZE })
    expect(await codeOf(await patch(bearer, '', id, { offset: 0, body: BYTES }))).toEqual([
      415,
      'type-not-allowed',
    ])
    const sound = await sendFile(
      bearer,
      '',
      await madeByFfmpeg('sound.m4a', ['-f', 'lavfi', '-i', 'sine=duration=2', '-c:a', 'aac']),
    )
    expect((await outcome(landfall, 'alice', sound.uploadId)).status).toBe('ready')
    const video = await shortVideo()
    const claimed = { ...video, name: 'a.m4a', contentType: 'audio/mp4' }
    const sent = await sendFile(bearer, '', claimed)
    expect(await outcome(landfall, 'alice', sent.uploadId)).toMatchObject({
      status: 'rejected',
      reason: { code: 'type-not-allowed' },
    })
  })

  it('gives its place back where an upload ends without a byte', async () => {
    const ticket = await issue({})
    const bearer = bearing(ticket)
    const id = await createId(bearer, '', { size: SIZE })
    expect(await codeOf(await create(bearer, '', { size: SIZE }))).toEqual([403, 'ticket-used'])
    expect((await terminate(bearer, '', id)).status).toBe(204)
    const second = await createId(bearer, '', { size: SIZE })
    expect((await patch(bearer, '', second, { offset: 0, body: BYTES.subarray(0, 10) })).status).toBe(204)
    expect((await terminate(bearer, '', second)).status).toBe(204)
    expect(await codeOf(await create(bearer, '', { size: SIZE }))).toEqual([403, 'ticket-used'])
  })

  it('gives its place back where the first bytes are refused, of which nothing is kept', async () => {
    const bearer = bearing(await issue({ allowedTypes: ['image/png'] }))
    const id = await createId(bearer, '', { size: SIZE })
    expect((await patch(bearer, '', id, { offset: 0, body: BYTES })).status).toBe(415)
    expect((await create(bearer, '', { size: SIZE })).status).toBe(201)
  })

  it('gives its place back where a request that has the whole file fails, however much of it came', async () => {
    const send = (ticket: TicketJson, bytes: Uint8Array, late = false) => {
      const form = new FormData()
      form.append('file', new Blob([bytes as BlobPart], { type: 'image/jpeg' }), 'a.jpg')
      if (late) form.append('title', 'late')
      return bearing(ticket).as('')('/api/v1/media', { method: 'POST', body: form })
    }
    const large = asJpeg(Buffer.alloc(3_500_000, 'x'))
    const limited = await issue({ maxSize: 3_000_000 })
    expect((await send(limited, large)).status).toBe(413)
    expect((await send(limited, BYTES)).status).toBe(201)
    const disordered = await issue({})
    expect((await send(disordered, large, true)).status).toBe(400)
    const good = await send(disordered, BYTES)
    expect(good.status).toBe(201)
    // It reads no files.
    expect(await good.json()).toMatchObject({ contentUrl: null, thumbnailUrl: null })
    expect((await send(disordered, BYTES)).status).toBe(403)
  })

  it('keeps its places taken for as long as others can be begun, whatever is pruned', async () => {
    const day = 86_400_000
    const ticket = await issue({ beginWithinSeconds: 30 * 86_400 })
    const bearer = bearing(ticket)
    const id = await createId(bearer, '', { size: SIZE })
    expect((await patch(bearer, '', id, { offset: 0, body: BYTES.subarray(0, 10) })).status).toBe(204)
    expect((await terminate(bearer, '', id)).status).toBe(204)
    const age = sql`now() - interval '7 days'`
    await sql`update landfall.uploads set ended_at = ${age}, is_bare = true where id = ${id}`.execute(
      landfall.db,
    )
    await sql`update landfall.events set created_at = ${age} where upload_id = ${id}`.execute(landfall.db)
    const removals = async () => {
      const { rows } = await sql`
        select 1 from pgboss.job where data ->> 'uploadId' = ${id} and state < 'completed'`.execute(
        landfall.db,
      )
      return rows.length
    }
    await expect.poll(removals, { timeout: 15_000 }).toBe(0)
    const retention = { historyMs: day, recordMs: 3 * day }
    await prune(landfall.db, retention)
    expect(await codeOf(await create(bearer, '', { size: SIZE }))).toEqual([403, 'ticket-used'])
    await sql`update landfall.upload_tickets set begin_before = now() where id = ${ticket.id}`.execute(
      landfall.db,
    )
    await prune(landfall.db, retention)
    // In a bucket, parts that may still arrive are waited for.
    if (storage === 'disk') expect((await head(landfall, 'alice', id)).status).toBe(404)
  })

  it('is remembered while one of its uploads goes on', async () => {
    const ticket = await issue({})
    const bearer = bearing(ticket)
    const id = await createId(bearer, '', { size: SIZE })
    await sql`update landfall.upload_tickets set begin_before = now() - interval '2 days' where id = ${ticket.id}`.execute(
      landfall.db,
    )
    await prune(landfall.db, { historyMs: 86_400_000, recordMs: 86_400_000 })
    expect((await patch(bearer, '', id, { offset: 0, body: BYTES })).status).toBe(204)
  })

  it('bounds partial uploads by what it permits, in number and bytes', async () => {
    const partial = (size: number) => ({ size, headers: { 'Upload-Concat': 'partial' } })
    const sized = bearing(await issue({ maxSize: SIZE }))
    expect((await create(sized, '', partial(SIZE - 1000))).status).toBe(201)
    expect((await create(sized, '', partial(1001))).status).toBe(403)
    expect((await create(sized, '', partial(1000))).status).toBe(201)
    const many = bearing(await issue({}))
    const statuses: number[] = []
    for (let n = 0; n < 17; n++) statuses.push((await create(many, '', partial(10))).status)
    expect(statuses).toEqual([...Array(16).fill(201), 403])
  })

  it('bounds how often an upload is begun and ended for each place', async () => {
    const ticket = await issue({})
    await createId(bearing(ticket), '', { size: SIZE }).then((id) => terminate(bearing(ticket), '', id))
    await sql`
      insert into landfall.uploads
        (id, owner_id, protocol, state, size, metadata, storage_backend, storage_key, reserved_bytes, expires_at, ticket_id)
      select lpad(g::text, 4, '0') || substr(md5(${ticket.id}), 1, 18), 'alice', protocol, 'terminated', size, metadata, storage_backend,
             storage_key || g, 0, expires_at, ticket_id
        from landfall.uploads, generate_series(1, 99) g where ticket_id = ${ticket.id}`.execute(landfall.db)
    expect((await create(bearing(ticket), '', { size: SIZE })).status).toBe(403)
  })

  it('does not delete a file that is just being completed', async () => {
    const deleted: string[] = []
    for (let ms = 0; ms < 6; ms++) {
      const bearer = bearing(await issue({}))
      const id = await createId(bearer, '', { size: SIZE })
      const sending = patch(bearer, '', id, { offset: 0, body: BYTES })
      await raceAfter(ms)
      const ending = await terminate(bearer, '', id)
      const sent = await sending
      if (sent.status !== 204) continue
      expect(ending.status).toBe(403)
      const row = await landfall.db
        .selectFrom('landfall.media')
        .select('status')
        .where('upload_id', '=', id)
        .executeTakeFirstOrThrow()
      if (row.status === 'deleted') deleted.push(id)
    }
    expect(deleted).toEqual([])
  })

  it('does nothing else', async () => {
    const ticket = await issue({ count: 5 })
    const bearer = bearing(ticket)
    for (const { method, path, headers, body } of guardedRoutes()) {
      const isUploading = path.startsWith('/files') || path.startsWith('/api/v1/direct-uploads')
      if (isUploading || `${method} ${path}` === 'POST /api/v1/media') continue
      const response = await bearer.as('')(path, { method, headers: headers ?? {}, body: body ?? null })
      await response.body?.cancel()
      expect([method, path, response.status]).toEqual([
        method,
        path,
        path.endsWith('/source') || path.endsWith('/no-such-route') ? 404 : 403,
      ])
    }
    expect(await codeOf(await bearer.as('')('/files?owner=bob', { method: 'POST' }))).toEqual([
      403,
      'forbidden',
    ])
    const own = await createId(landfall, 'alice', { size: SIZE })
    for (const id of [own, await createId(bearing(await issue({})), '', { size: SIZE }), newUploadId()]) {
      expect((await head(bearer, '', id)).status).toBe(404)
      expect((await patch(bearer, '', id, { offset: 0, body: BYTES })).status).toBe(404)
      expect((await terminate(bearer, '', id)).status).toBe(404)
    }
    const { uploadId } = await sendFile(bearer, '', await jpeg({ width: 320, height: 240 }))
    await outcome(landfall, 'alice', uploadId)
    expect((await head(bearer, '', uploadId)).status).toBe(200)
    expect(await codeOf(await bearer.as('')(`/files/${uploadId}`, { redirect: 'manual' }))).toEqual([
      403,
      'forbidden',
    ])
    expect((await terminate(bearer, '', uploadId)).status).toBe(403)
    expect((await head(landfall, 'alice', own)).status).toBe(200)
  })

  it('is refused from the next request on, once it is revoked', async () => {
    const ticket = await issue({ count: 2 })
    const bearer = bearing(ticket)
    const id = await createId(bearer, '', { size: SIZE })
    expect((await patch(bearer, '', id, { offset: 0, body: BYTES.subarray(0, 1000) })).status).toBe(204)
    for (let time = 0; time < 2; time++)
      expect((await backend()(`/api/v1/tickets/${ticket.id}`, { method: 'DELETE' })).status).toBe(204)
    expect(await stateOf(ticket)).toMatchObject({ state: 'revoked' })
    const next = await patch(bearer, '', id, { offset: 1000, body: BYTES.subarray(1000) })
    expect(next.headers.get('WWW-Authenticate')).toContain('Bearer')
    expect(await codeOf(next)).toEqual([401, 'token-invalid'])
    expect((await head(bearer, '', id)).status).toBe(401)
    expect(await codeOf(await create(bearer, '', { size: SIZE }))).toEqual([401, 'token-invalid'])
    expect((await head(landfall, 'alice', id)).headers.get('Upload-Offset')).toBe('1000')
  })

  it('begins nothing after its time, while what has begun goes on until its own', async () => {
    const ticket = await issue({ count: 2, uploadWithinSeconds: 3600 })
    const bearer = bearing(ticket)
    const response = await create(bearer, '', { size: SIZE })
    const within = Date.parse(response.headers.get('Upload-Expires') ?? '') - Date.now()
    expect(within).toBeGreaterThan(3_500_000)
    expect(within).toBeLessThan(3_601_000)
    const id = idOf(response)
    await sql`update landfall.upload_tickets set begin_before = now() where id = ${ticket.id}`.execute(
      landfall.db,
    )
    expect(await stateOf(ticket)).toMatchObject({ state: 'expired' })
    expect(await codeOf(await create(bearer, '', { size: SIZE }))).toEqual([401, 'token-expired'])
    const first = await patch(bearer, '', id, { offset: 0, body: BYTES.subarray(0, 1000) })
    expect(first.status).toBe(204)
    // An append does not move the end of the upload.
    const later = Date.parse(first.headers.get('Upload-Expires') ?? '') - Date.now()
    expect(later).toBeLessThan(3_601_000)
    await sql`update landfall.uploads set expires_at = now() where id = ${id}`.execute(landfall.db)
    const late = await patch(bearer, '', id, { offset: 1000, body: BYTES.subarray(1000) })
    expect(await codeOf(late)).toEqual([410, 'upload-expired'])
  })

  it.each(['lfu_', 'lfu_x', `lfu_${'A'.repeat(43)}`, `lfu_${'A'.repeat(44)}`, `LFU_${'A'.repeat(43)}`])(
    'is not %s',
    async (token) => {
      const response = await fetch(`${landfall.url}/files`, {
        method: 'POST',
        headers: { Authorization: `Bearer ${token}`, 'Tus-Resumable': '1.0.0', 'Upload-Length': '5000' },
      })
      expect(await codeOf(response)).toEqual([401, 'token-invalid'])
    },
  )

  it('is used exactly as often as it says by four servers at once', async () => {
    const nodes = [
      landfall,
      ...(await Promise.all(
        [1, 2, 3].map(() =>
          startLandfall({
            beside: landfall,
            withoutWorker: true,
            env: { SCAN: 'off', AUTH_TENANT: 'optional', UPLOAD_MAX_OPEN: '100' },
          }),
        ),
      )),
    ]
    try {
      for (const count of [1, 1, 1, 3, 7]) {
        const ticket = await issue({ count })
        const answers = await Promise.all(
          Array.from({ length: 24 }, (_, index) =>
            create(bearing(ticket, nodes[index % 4]), '', { size: SIZE }),
          ),
        )
        const statuses = answers.map(({ status }) => status).sort()
        expect(statuses).toEqual([...Array(count).fill(201), ...Array(24 - count).fill(403)])
        expect(await stateOf(ticket)).toMatchObject({ used: count, state: 'used' })
      }
    } finally {
      for (const node of nodes.slice(1)) await node.close()
    }
  })

  it('is seen, listed and revoked by backends of its tenant alone', async () => {
    const acme = await issue({ owner: 'carol' }, 'acme')
    expect(acme).toMatchObject({ ownerId: 'carol', tenantId: 'acme' })
    const listed = async (as: ReturnType<typeof backend>, query = '') => {
      const page = (await (await as(`/api/v1/tickets${query}`)).json()) as { items: TicketJson[] }
      expect(JSON.stringify(page)).not.toContain('lfu_')
      return page.items.map(({ id }) => id)
    }
    expect(await listed(backend('acme'))).toEqual([acme.id])
    expect(await listed(backend('acme'), '?owner=carol')).toEqual([acme.id])
    expect(await listed(backend('acme'), '?owner=dave')).toEqual([])
    expect(await listed(backend('globex'))).toEqual([])
    expect(await listed(backend(), '?limit=100')).not.toContain(acme.id)
    expect(await listed(backend(null, 'admin'))).toContain(acme.id)
    for (const [as, status] of [
      [backend('globex'), 404],
      [backend('globex', 'admin'), 404],
      [backend(), 404],
      [inTenant(landfall, 'acme').as('carol'), 403],
      [backend('acme'), 200],
      [backend('acme', 'admin'), 200],
      [backend(null, 'admin'), 200],
    ] as const)
      expect((await as(`/api/v1/tickets/${acme.id}`)).status).toBe(status)
    expect((await backend('globex')(`/api/v1/tickets/${acme.id}`, { method: 'DELETE' })).status).toBe(404)
    const id = await createId(bearing(acme), '', { size: SIZE })
    expect((await head(inTenant(landfall, 'acme'), 'carol', id)).status).toBe(200)
    expect((await head(landfall, 'carol', id)).status).toBe(404)
  })

  it('is listed in pages', async () => {
    const ids: string[] = []
    for (let n = 0; n < 5; n++) ids.unshift((await issue({ owner: 'pages' })).id)
    const seen: string[] = []
    for (let cursor: string | null = ''; cursor !== null; ) {
      const query: string = cursor === '' ? '' : `&cursor=${cursor}`
      const page = (await (await backend()(`/api/v1/tickets?owner=pages&limit=2${query}`)).json()) as {
        items: TicketJson[]
        nextCursor: string | null
      }
      seen.push(...page.items.map(({ id }) => id))
      cursor = page.nextCursor
    }
    expect(seen).toEqual(ids)
  })

  it.each<[string, object, RegExp]>([
    ['a size that the server refuses', { maxSize: 10_000_001 }, /^maxSize: takes 1000 to 10000000/],
    ['a size of less than the smallest', { maxSize: 1 }, /^maxSize/],
    ['no type', { allowedTypes: [] }, /allowedTypes/],
    ['a type that is none', { allowedTypes: ['film'] }, /allowedTypes/],
    ['a type that the server refuses', { allowedTypes: ['application/pdf'] }, /allowedTypes/],
    ['types in one text', { allowedTypes: 'video/*' }, /allowedTypes/],
    ['no upload', { count: 0 }, /count/],
    ['no time', { beginWithinSeconds: 0 }, /beginWithinSeconds/],
    ['a year', { beginWithinSeconds: 31_536_000 }, /beginWithinSeconds/],
    ['a member that there is not', { max_size: 5000 }, /max_size/],
    ['metadata that are no texts', { metadata: { a: 1 } }, /metadata/],
    ['too much metadata', { metadata: { a: 'x'.repeat(100_000) } }, /./],
    ['a tenant of somebody else', { tenant: 'acme' }, /./],
    ['an owner with control characters', { owner: 'acme\u001falice' }, /owner/],
  ])('is not given for %s', async (_what, body, said) => {
    const response = await post(backend(), { owner: 'alice', ...body })
    expect([400, 403, 413]).toContain(response.status)
    expect(((await response.json()) as { detail: string }).detail).toMatch(said)
  })

  it('is given to nobody by an owner, and for the owner of the query', async () => {
    expect((await post(landfall.as('alice'), {})).status).toBe(403)
    const named = await post(backend(), {}, '?owner=zoe')
    expect(await named.json()).toMatchObject({ ownerId: 'zoe' })
    expect((await post(backend(), { owner: 'alice' }, '?owner=zoe')).status).toBe(400)
    expect(await (await post(backend(), {})).json()).toMatchObject({ ownerId: 'backend' })
  })

  it('is removed when it is long over', async () => {
    const old = await issue({})
    const young = await issue({})
    await sql`update landfall.upload_tickets set begin_before = now() - interval '2 days' where id = ${old.id}`.execute(
      landfall.db,
    )
    await prune(landfall.db, { historyMs: 86_400_000, recordMs: 86_400_000 })
    expect((await backend()(`/api/v1/tickets/${old.id}`)).status).toBe(404)
    expect((await backend()(`/api/v1/tickets/${young.id}`)).status).toBe(200)
  })
})
