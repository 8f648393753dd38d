/** Another request has taken over the upload: nothing of this one counts any more. */
export class LeaseLost extends Error {
  constructor() {
    super('the lease on the upload was lost')
    this.name = 'LeaseLost'
  }
}

/** A body is longer than what is left of the upload. */
export class BodyTooLong extends Error {
  constructor() {
    super('the body is longer than what is left of the upload')
    this.name = 'BodyTooLong'
  }
}
