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

/** No bytes can be sent to an upload that is made of others. */
export class FinalUpload extends Error {
  constructor() {
    super('the upload is made of partial uploads')
    this.name = 'FinalUpload'
  }
}

/** Another request holds the upload, and does not let go in time. */
export class LeaseBusy extends Error {
  constructor() {
    super('another request holds the upload')
    this.name = 'LeaseBusy'
  }
}

/** The client's body was ended before it was all there: by its client, or because somebody else wants the upload. */
export class Interrupted extends Error {
  constructor() {
    super('the body was interrupted')
    this.name = 'Interrupted'
  }
}
