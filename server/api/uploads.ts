import type { Ledger } from '../../ledger/database.ts'
import type { OwnerId, UploadId } from '../../ledger/ids.ts'
import { findUpload, listOpenUploads, type UploadRow } from '../../ledger/uploads.ts'
import type { ProgressBoard } from '../events/progress-board.ts'
import { notFound } from '../http/errors.ts'
import { UPLOAD_ID } from '../routes/param.ts'
import { route } from '../routes/route.ts'
import { json } from './answers.ts'
import { Upload, UploadList, UploadListQuery } from './schemas.ts'
import { uploadView } from './views.ts'

export type UploadsServices = { db: Ledger; board: ProgressBoard }

const MAX_LISTED = 100

/** `/api/v1/uploads`: the caller's uploads. */
export const uploadsRoutes = [
  route('get', '/api/v1/uploads', 'token', {
    query: UploadListQuery,
    answers: { 200: json(UploadList) },
    summary: 'The unfinished uploads of the owner, for resuming on another device',
    description: '`{ items: [upload…] }`',
    async handle({ response, who }, { db, board }: UploadsServices) {
      const rows = await listOpenUploads(db, who.ownerId, MAX_LISTED)
      response.json({ items: rows.map((row) => uploadView(row, board.of(row))) })
    },
  }),
  route('get', '/api/v1/uploads/:id', 'token', {
    params: { id: UPLOAD_ID },
    answers: { 200: json(Upload) },
    summary: 'An upload',
    async handle({ response, who, params }, { db, board }: UploadsServices) {
      const upload = await ownUpload(db, who.ownerId, params.id)
      response.json(uploadView(upload, board.of(upload)))
    },
  }),
]

/** Fails with `not-found` for that of another owner as well. */
export async function ownUpload(db: Ledger, ownerId: OwnerId, id: UploadId): Promise<UploadRow> {
  const upload = await findUpload(db, ownerId, id)
  if (!upload) throw notFound()
  return upload
}
