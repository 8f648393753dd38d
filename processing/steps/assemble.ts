import type { Step } from '../step.ts'

/** Makes the bytes one object and checks that it is all there. On disk they are one file already. */
export const assemble: Step = {
  name: 'assemble',
  async run({ media, objects }) {
    const size = await objects.sizeOf(media.storage_key)
    // Not a verdict: the ledger says these bytes were acknowledged.
    if (size !== media.size)
      throw new Error(`the object has ${size ?? 'no'} bytes where ${media.size} were received`)
    return { detail: { size } }
  },
}
