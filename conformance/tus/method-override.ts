import { expectHeader, expectNoHeader, expectStatus, expectThat } from '../kit/expectations.ts'
import { type Row, rowsOf } from '../kit/row.ts'
import { append, create, createFilled, expectOffset, head, SIZE, send } from './client.ts'

const as = (method: string) => ({ 'X-HTTP-Method-Override': method })

export const methodOverrideRows: readonly Row[] = rowsOf(
  { protocol: 'tus', section: 'X-HTTP-Method-Override' },
  [
    ...['POST', 'PUT', 'GET'].map((method) => ({
      id: `tus-override-patch-by-${method.toLowerCase()}`,
      level: 'MUST' as const,
      requirement: `${method} with X-HTTP-Method-Override: PATCH is a PATCH.`,
      check: async (peer: Parameters<Row['check']>[0]) => {
        const upload = await create(peer)
        const answer = await append(peer, upload, { method, from: 0, to: 1000, headers: as('PATCH') })
        expectStatus(answer, 204)
        expectHeader(answer, 'Upload-Offset', '1000')
      },
    })),
    {
      id: 'tus-override-head',
      level: 'MUST',
      requirement: 'POST with X-HTTP-Method-Override: HEAD is a HEAD.',
      async check(peer) {
        const { url } = await createFilled(peer, 1000)
        const answer = await send(peer, { method: 'POST', at: url, headers: as('HEAD') })
        expectStatus(answer, 200, 204)
        expectHeader(answer, 'Upload-Offset', '1000')
        expectHeader(answer, 'Upload-Length', String(SIZE))
      },
    },
    {
      id: 'tus-override-delete',
      level: 'MUST',
      requirement: 'POST with X-HTTP-Method-Override: DELETE is a DELETE.',
      needs: ['termination'],
      async check(peer) {
        const { url } = await create(peer)
        expectStatus(await send(peer, { method: 'POST', at: url, headers: as('DELETE') }), 204)
        expectThat((await head(peer, url)).status >= 400, 'the upload is still there')
      },
    },
    {
      id: 'tus-override-real-delete-ignored',
      level: 'MUST',
      requirement: 'DELETE with X-HTTP-Method-Override: HEAD is a HEAD, and removes nothing.',
      async check(peer) {
        const upload = await createFilled(peer, 1000)
        await send(peer, { method: 'DELETE', at: upload.url, headers: as('HEAD') })
        await expectOffset(peer, upload, 1000)
      },
    },
    {
      id: 'tus-override-real-patch-ignored',
      level: 'MUST',
      requirement: 'PATCH with X-HTTP-Method-Override: HEAD is a HEAD, and appends nothing.',
      async check(peer) {
        const upload = await createFilled(peer, 1000)
        await append(peer, upload, { from: 1000, to: 2000, headers: as('HEAD') })
        await expectOffset(peer, upload, 1000)
      },
    },
    {
      id: 'tus-override-version',
      level: 'MUST',
      requirement: 'A request with X-HTTP-Method-Override is held to its version like any other.',
      async check(peer) {
        const upload = await create(peer)
        const headers = { ...as('PATCH'), 'Tus-Resumable': '0.2.2' }
        const answer = await append(peer, upload, { method: 'POST', from: 0, to: 1000, headers })
        expectStatus(answer, 412)
        expectNoHeader(answer, 'Upload-Offset')
        await expectOffset(peer, upload, 0)
      },
    },
  ],
)
