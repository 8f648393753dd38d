import type { UploadRow } from '../../ledger/uploads.ts'

/** Unknown or another owner's: they cannot be told apart. */
export class UploadNotFound extends Error {
  constructor() {
    super('no such upload')
    this.name = 'UploadNotFound'
  }
}

/** The upload has ended: terminated, expired or rejected. */
export class UploadGone extends Error {
  readonly upload: UploadRow

  constructor(upload: UploadRow) {
    super(`upload is ${upload.state}`)
    this.name = 'UploadGone'
    this.upload = upload
  }
}

/** A final upload takes no bytes. */
export class FinalUpload extends Error {
  constructor() {
    super('the upload is made of partial uploads')
    this.name = 'FinalUpload'
  }
}

/** Its bytes are sent to the bucket, and not here. */
export class DirectUpload extends Error {
  constructor() {
    super('the bytes of the upload are sent to the bucket')
    this.name = 'DirectUpload'
  }
}

/** Another request holds the upload and does not release it in time. */
export class LeaseBusy extends Error {
  constructor() {
    super('another request holds the upload')
    this.name = 'LeaseBusy'
  }
}

/** The body was ended early: by its client, or because another request wants the upload. */
export class Interrupted extends Error {
  constructor() {
    super('the body was interrupted')
    this.name = 'Interrupted'
  }
}

/** The client has sent nothing for too long. */
export class BodyIdle extends Error {
  constructor() {
    super('nothing of the body has arrived for too long')
    this.name = 'BodyIdle'
  }
}
