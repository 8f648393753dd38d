import { ERRORS } from '@tus/utils'
import { notFound, Problem } from '../../http/errors.ts'
import { uploadProblem } from '../problems.ts'

/**
 * Translates any error of a tus request to the problem for its client. `offset`: of the stored bytes. The errors of
 * `@tus/server` are plain objects, compared by identity.
 */
export function tusProblem(error: unknown, offset: number): unknown {
  switch (error) {
    case ERRORS.INVALID_OFFSET:
      return new Problem('offset-conflict', 'Upload-Offset is not the current offset of the upload.', {
        headers: { 'Upload-Offset': String(offset) },
      })
    case ERRORS.ERR_SIZE_EXCEEDED:
    case ERRORS.ERR_MAX_SIZE_EXCEEDED:
      return new Problem('too-large', 'The body is longer than what is left of the upload.')
    case ERRORS.INVALID_LENGTH:
      return new Problem(
        'invalid-header',
        'Upload-Length is already known or smaller than the current offset.',
      )
    case ERRORS.FILE_NOT_FOUND:
      return notFound()
    case ERRORS.ABORTED:
      return new Problem('locked', 'The request was interrupted.', { cause: error })
    default:
      return uploadProblem(error)
  }
}
