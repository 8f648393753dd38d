import type { MediaId, UploadId } from '../ledger/ids.ts'

// Keys are made of our own ids only: nothing a client says becomes part of one.

/** Where the bytes of an upload live. */
export const uploadKey = (id: UploadId): string => `uploads/${id}`

/** Where a rendition of a media lives. */
export const renditionKey = (id: MediaId, name: string): string => `renditions/${id}/${name}`
