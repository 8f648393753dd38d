import type { Response } from 'express'
import { CLIENT_GONE } from './client-gone.ts'
import { endReadably } from './close-after-drain.ts'
import { Problem } from './errors.ts'
import { statusFor } from './head-answers.ts'
import { unavailable } from './outages.ts'

/**
 * Answers with any error as `application/problem+json` (RFC 9457). Only a `Problem` is shown; other errors are logged,
 * and shown in general words.
 */
export function renderProblem(error: unknown, requestId: string, response: Response): void {
  // The client has left, which is not an error.
  if (error === CLIENT_GONE) return void response.destroy()
  const problem = problemOf(error)
  // It is logged with the request.
  if (problem.status >= 500) response.err = error instanceof Error ? error : new Error(String(error))
  if (response.headersSent) return void response.destroy()
  const body = JSON.stringify(problem.toDocument(requestId))
  const { status, headers } = statusFor(problem, response.req)
  response
    .status(status)
    .set(headers)
    .set({ 'Cache-Control': 'no-store', 'Content-Type': 'application/problem+json' })
    .set('Content-Length', String(Buffer.byteLength(body)))
  endReadably(response, body)
}

/** The problem that a client may see for any error. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error
  const outage = unavailable(error)
  if (outage) return outage
  if (isClientError(error)) {
    return error.status === 413
      ? new Problem('too-large', 'The body is too large.', { cause: error })
      : new Problem('invalid-request', 'The request could not be read.', { cause: error })
  }
  return new Problem(
    'internal-error',
    'An internal error occurred. The server log has its cause under this request id.',
    {
      cause: error,
    },
  )
}

/** Express and its body parsers mark client errors with a status. */
function isClientError(error: unknown): error is { status: number } {
  return (
    error instanceof Error &&
    'status' in error &&
    typeof error.status === 'number' &&
    error.status >= 400 &&
    error.status < 500
  )
}
