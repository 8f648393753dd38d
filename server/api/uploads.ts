import type { Ledger } from '../../ledger/database.ts'
import type { OwnerId, UploadId } from '../../ledger/ids.ts'
import { findUpload, listOpenUploads, type UploadRow } from '../../ledger/uploads.ts'
import { wholesOf } from '../../ledger/wholes.ts'
import type { ProgressBoard } from '../events/progress-board.ts'
import { wholesById } from '../events/wholes.ts'
import { notFound } from '../http/errors.ts'
import { UPLOAD_ID } from '../routes/param.ts'
import { route } from '../routes/route.ts'
import { json } from './answers.ts'
import { pageOf, readCursor, writeCursor } from './query.ts'
import { Upload, UploadList, UploadListQuery } from './schemas.ts'
import { uploadView } from './views.ts'

export type UploadsServices = { db: Ledger; board: ProgressBoard }

/** `/api/v1/uploads`: the caller's uploads. */
export const uploadsRoutes = [
  route('get', '/api/v1/uploads', 'token', {
    query: UploadListQuery,
    answers: { 200: json(UploadList) },
    summary:
      'The unfinished uploads of the owner, newest first, for resuming on another device; or its partial uploads',
    description: '`{ items: [upload…], nextCursor }`',
    async handle({ response, who: { ownerId }, query }, { db, board }: UploadsServices) {
      const rows = await listOpenUploads(db, {
        ownerId,
        isPartial: query.partial === 'true',
        limit: query.limit + 1,
        after: query.cursor === undefined ? undefined : readCursor(query.cursor),
      })
      const view = await viewOf(db, board, ownerId, rows)
      response.json(pageOf(rows, query.limit, view, writeCursor))
    },
  }),
  route('get', '/api/v1/uploads/:id', 'token', {
    params: { id: UPLOAD_ID },
    answers: { 200: json(Upload) },
    summary: 'An upload',
    async handle({ response, who, params }, { db, board }: UploadsServices) {
      const upload = await ownUpload(db, who.ownerId, params.id)
      const view = await viewOf(db, board, who.ownerId, [upload])
      response.json(view(upload))
    },
  }),
]

/** Shows any of these uploads of an owner; looks up the wholes of those that are concatenated. */
async function viewOf(db: Ledger, board: ProgressBoard, ownerId: OwnerId, uploads: readonly UploadRow[]) {
  const concatenated = uploads.filter(({ is_partial, concat }) => is_partial || concat !== null)
  const ids = concatenated.map(({ id }) => id)
  const found = ids.length === 0 ? [] : await wholesOf(db, ownerId, ids)
  const { ofPartials, ofFinals } = wholesById(found, board)
  return (upload: UploadRow) => {
    const ofFinal = upload.state === 'open' ? ofFinals.get(upload.id) : undefined
    return uploadView(upload, ofFinal ?? board.of(upload), ofPartials.get(upload.id) ?? null)
  }
}

/** Fails with `not-found` for that of another owner as well. */
export async function ownUpload(db: Ledger, ownerId: OwnerId, id: UploadId): Promise<UploadRow> {
  const upload = await findUpload(db, ownerId, id)
  if (!upload) throw notFound()
  return upload
}
