import { ContentRejected } from '../../../content/verdict.ts'
import type { UploadPolicy } from '../../../hooks/pre-create.ts'
import { type ErrorCode, Problem, type ProblemOptions } from '../../http/errors.ts'
import { DigestMismatch } from '../body-digests.ts'
import { uploadProblem } from '../problems.ts'
import type { InteropVersion } from './fields.ts'
import { limitsOf } from './limits.ts'

const TYPES = 'https://iana.org/assignments/http-problem-types#'
/** Codes of uploads that have ended: version 6 knows only 404 for them. */
const GONE: readonly ErrorCode[] = ['upload-terminated', 'upload-expired', 'upload-rejected']
/** Verdicts, and uploads that are complete: resuming would not change them. */
const FINAL: readonly ErrorCode[] = [
  'type-not-allowed',
  'content-rejected',
  'digest-mismatch',
  'upload-complete',
]

/** § Mismatching Offset. */
export const mismatchingOffset = (expected: number, provided: number): Problem =>
  new Problem('offset-conflict', 'Upload-Offset is not the current offset of the upload.', {
    type: `${TYPES}mismatching-upload-offset`,
    members: { 'expected-offset': expected, 'provided-offset': provided },
    headers: { 'Upload-Offset': String(expected) },
  })

/** § Inconsistent Length. */
export const inconsistentLength = (): Problem =>
  new Problem('inconsistent-length', 'The lengths that were given for this upload do not agree.', {
    type: `${TYPES}inconsistent-upload-length`,
  })

/** Version 6, § Completed Upload. `told`: headers with the outcome, which the client may have missed. */
export const completedUpload = (size: number, told: Readonly<Record<string, string>>): Problem =>
  new Problem('upload-complete', 'The upload is complete; nothing can be appended.', {
    type: `${TYPES}completed-upload`,
    headers: { ...told, 'Upload-Offset': String(size) },
  })

/** Translates any error of a request of the draft to the problem for its client. */
export function toIetfProblem(
  error: unknown,
  context: {
    version: InteropVersion | undefined
    policy: Pick<UploadPolicy, 'maxSize' | 'minSize'>
  },
): unknown {
  const problem = ofDraft(error) ?? uploadProblem(error)
  if (!(problem instanceof Problem)) return problem
  if (context.version === 6 && GONE.includes(problem.code))
    return changed(problem, { members: problem.members }, 'not-found')
  if (GONE.includes(problem.code) || problem.code === 'not-found') return problem
  return changed(problem, {
    headers: {
      'Upload-Complete': FINAL.includes(problem.code) ? '?1' : '?0',
      ...(problem.code === 'too-large' && { 'Upload-Limit': limitsOf(context.policy) }),
      ...problem.headers,
    },
  })
}

function ofDraft(error: unknown): Problem | undefined {
  if (error instanceof DigestMismatch)
    return changed(
      new Problem('digest-mismatch', 'The content does not match its digest; none of it was kept.'),
      {
        headers: { 'Upload-Complete': '?0' },
      },
    )
  if (!(error instanceof ContentRejected)) return undefined
  const { verdict } = error
  if (verdict.code === 'length-exceeded') return inconsistentLength()
  if (verdict.code === 'digest-mismatch')
    return new Problem('digest-mismatch', verdict.detail, { members: { reason: verdict } })
  return undefined
}

function changed(problem: Problem, changes: ProblemOptions, code = problem.code): Problem {
  const { headers, members, type, status, cause } = problem
  return new Problem(code, problem.message, {
    headers,
    members,
    cause,
    ...(code === problem.code && { type, status }),
    ...changes,
  })
}
