import { findRemoval } from '../../ledger/removal.ts'
import { BytesLost } from '../../storage/store/objects.ts'
import type { Step } from '../step/step.ts'

/** Joins the bytes into one object, checks its size, and records its etag. */
export const assemble: Step = {
  name: 'assemble',
  after: [],
  async run({ media, bytes, db }) {
    const { size, etag } = await bytes.assemble(media.upload_id)
    // It was removed in the meantime, by a job that may have looked before the object existed.
    if ((await findRemoval(db, media.upload_id))?.isWhole) await bytes.discard(media.upload_id)
    // Not a verdict: the ledger has acknowledged these bytes.
    if (size !== media.size)
      throw new BytesLost(`the object has ${size} bytes where ${media.size} were received`)
    return { facts: { etag }, detail: { size } }
  },
}
