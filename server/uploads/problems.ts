import { ContentRejected } from '../../content/verdict.ts'
import { Refusal } from '../../hooks/refusal.ts'
import type { UploadRow } from '../../ledger/uploads.ts'
import { PartsMismatch } from '../../storage/s3/direct-bytes.ts'
import { StorageFull } from '../../storage/store/objects.ts'
import { BodyTooLong, LeaseLost } from '../../storage/store/outcomes.ts'
import { notFound, Problem } from '../http/errors.ts'
import { unavailable } from '../http/outages.ts'
import { DigestMismatch } from './body-digests.ts'
import {
  BodyIdle,
  DirectUpload,
  FinalUpload,
  Interrupted,
  LeaseBusy,
  UploadGone,
  UploadNotFound,
} from './outcomes.ts'

/** Translates any error of an upload to the problem for its client. Other errors are passed through. */
export function uploadProblem(error: unknown): unknown {
  if (error instanceof Refusal) {
    const { retryAfterSeconds, status } = error
    return new Problem(error.code, error.message, {
      status,
      members: error.members,
      headers: retryAfterSeconds === undefined ? {} : { 'Retry-After': String(retryAfterSeconds) },
    })
  }
  if (error instanceof UploadNotFound) return notFound()
  if (error instanceof UploadGone) return gone(error.upload)
  if (error instanceof ContentRejected) return refused(error)
  if (error instanceof DigestMismatch) {
    return new Problem('checksum-mismatch', 'The bytes do not match Upload-Checksum; none of them were kept.')
  }
  if (error instanceof FinalUpload) {
    return new Problem('forbidden', 'This upload is made of partial uploads: send bytes to those.')
  }
  if (error instanceof DirectUpload) {
    return new Problem('forbidden', 'The bytes of this upload are sent to the bucket, by links.')
  }
  if (error instanceof PartsMismatch) {
    const { message, partNumbers } = error
    return new Problem('parts-mismatch', message, { members: { partNumbers } })
  }
  if (error instanceof Interrupted) {
    return new Problem('locked', 'The request was interrupted.', { cause: error })
  }
  if (error instanceof BodyIdle) {
    return new Problem('request-timeout', 'No bytes of the body have arrived for too long.', {
      headers: { Connection: 'close' },
      cause: error,
    })
  }
  if (error instanceof LeaseLost) {
    return new Problem('locked', 'Another request has taken over this upload.', { cause: error })
  }
  if (error instanceof StorageFull) {
    return new Problem('storage-full', 'The storage is full; what was received so far is kept.', {
      cause: error,
      headers: { 'Retry-After': '60' },
    })
  }
  if (error instanceof LeaseBusy) {
    return new Problem('locked', 'Another request is still writing to this upload.', {
      headers: { 'Retry-After': '1' },
    })
  }
  if (error instanceof BodyTooLong) {
    return new Problem('too-large', 'The body is longer than what is left of the upload.')
  }
  return unavailable(error) ?? error
}

/** 410 with the reason, which HEAD has in a header. */
export function gone(upload: UploadRow): Problem {
  switch (upload.state) {
    case 'terminated':
      return new Problem('upload-terminated', 'The upload was terminated by its owner.')
    case 'rejected':
      return new Problem('upload-rejected', upload.reject?.detail ?? 'The file was rejected.', {
        members: { reason: upload.reject },
        headers: { 'Upload-Reject-Reason': upload.reject?.code ?? 'unknown' },
      })
    default:
      return new Problem('upload-expired', 'The upload was not finished in time.')
  }
}

/** A verdict while bytes arrive: one on the type has the same status as at creation. */
function refused({ verdict }: ContentRejected): Problem {
  return new Problem(
    verdict.code.startsWith('type-') ? 'type-not-allowed' : 'content-rejected',
    verdict.detail,
    {
      members: { reason: verdict },
      headers: { 'Upload-Reject-Reason': verdict.code },
    },
  )
}
