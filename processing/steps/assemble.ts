import { findRemoval } from '../../ledger/removal.ts'
import { BytesLost } from '../../storage/store/objects.ts'
import type { Step } from '../step/step.ts'

/** Makes the bytes one object, checks that it is all there, and notes which object that is. */
export const assemble: Step = {
  name: 'assemble',
  after: [],
  async run({ media, bytes, db }) {
    const { size, etag } = await bytes.assemble(media.upload_id)
    // Removed meanwhile, by a job that may have looked before the object was there.
    if ((await findRemoval(db, media.upload_id))?.isWhole) await bytes.discard(media.upload_id)
    // Not a verdict: the ledger says these bytes were acknowledged.
    if (size !== media.size)
      throw new BytesLost(`the object has ${size} bytes where ${media.size} were received`)
    return { facts: { etag }, detail: { size } }
  },
}
