import type { UploadRow } from '../../ledger/uploads.ts'

/** Unknown, or somebody else's: never told apart. */
export class UploadNotFound extends Error {
  constructor() {
    super('no such upload')
    this.name = 'UploadNotFound'
  }
}

/** The upload was there and has ended: terminated, expired or rejected. */
export class UploadGone extends Error {
  readonly upload: UploadRow

  constructor(upload: UploadRow) {
    super(`upload is ${upload.state}`)
    this.name = 'UploadGone'
    this.upload = upload
  }
}

/** Another request has taken over the upload, so nothing of this one counts any more. */
export class LeaseLost extends Error {
  constructor() {
    super('the lease on the upload was lost')
    this.name = 'LeaseLost'
  }
}

/** No bytes can be sent to an upload that is made of others. */
export class FinalUpload extends Error {
  constructor() {
    super('the upload is made of partial uploads')
    this.name = 'FinalUpload'
  }
}
