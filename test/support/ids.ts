import type { MediaId, OwnerId, UploadId } from '../../ledger/ids.ts'

// What a test has read from an answer, or made up, as what the ledger takes.

export const asUploadId = (text: string): UploadId => text as UploadId
export const asMediaId = (text: string): MediaId => text as MediaId
export const asOwnerId = (text: string): OwnerId => text as OwnerId
