import type { Router } from 'express'
import type { Ledger } from '../../ledger/database.ts'
import { type OwnerId, parseUploadId } from '../../ledger/ids.ts'
import { findUpload, listOpenUploads, type UploadRow } from '../../ledger/uploads.ts'
import { principalOf } from '../auth/authenticate.ts'
import type { ProgressBoard } from '../events/progress-board.ts'
import { notFound } from '../http/errors.ts'
import { strictRouter } from '../http/routing.ts'
import { readInput } from './query.ts'
import { UploadListQuery } from './schemas.ts'
import { uploadView } from './views.ts'

export type UploadsApiOptions = { db: Ledger; board: ProgressBoard }

const MAX_LISTED = 100

/** `/api/v1/uploads`: the caller's uploads. */
export function uploadsApi({ db, board }: UploadsApiOptions): Router {
  const router = strictRouter()

  async function find(ownerId: OwnerId, idText: string): Promise<UploadRow> {
    const id = parseUploadId(idText)
    const upload = id && (await findUpload(db, ownerId, id))
    if (!upload) throw notFound()
    return upload
  }

  router.get('/', async (request, response) => {
    readInput(UploadListQuery, request.query)
    const rows = await listOpenUploads(db, principalOf(response).ownerId, MAX_LISTED)
    response.json({ items: rows.map((row) => uploadView(row, board.of(row))) })
  })

  router.get('/:id', async (request, response) => {
    const upload = await find(principalOf(response).ownerId, request.params.id)
    response.json(uploadView(upload, board.of(upload)))
  })

  return router
}
