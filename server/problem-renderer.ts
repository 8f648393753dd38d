import type { Response } from 'express'
import { NoTurn } from '../ledger/turns.ts'
import { Problem } from './errors.ts'
import type { Log } from './log.ts'
import { statusFor } from './tus/head-answers.ts'

/**
 * Answers with any error as `application/problem+json` (RFC 9457). Only a `Problem` speaks for itself;
 * anything else is told to the log, and to the client in general words.
 */
export function renderProblem(error: unknown, requestId: string, response: Response, log: Log): void {
  const problem = problemOf(error)
  if (problem.status >= 500) log.error({ err: error, requestId }, problem.message)
  if (response.headersSent) return void response.destroy()
  const body = JSON.stringify(problem.toDocument(requestId))
  const { status, headers } = statusFor(problem, response.req)
  response
    .status(status)
    .set(headers)
    .set({ 'Cache-Control': 'no-store', 'Content-Type': 'application/problem+json' })
    .set('Content-Length', String(Buffer.byteLength(body)))
  const { untilHeard }: { untilHeard?: () => Promise<void> } = response.locals
  if (!untilHeard) return void response.end(body)
  response.write(body)
  void untilHeard().then(() => response.end())
}

/** What a client may see of any error. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error
  if (isOutage(error)) {
    return new Problem('unavailable', 'A service this server needs does not answer.', {
      headers: { 'Retry-After': '5' },
      cause: error,
    })
  }
  if (isClientError(error)) {
    return error.status === 413
      ? new Problem('too-large', 'The body is too large.', { cause: error })
      : new Problem('invalid-request', 'The request could not be read.', { cause: error })
  }
  return new Problem('internal-error', 'Something went wrong here. The request id helps to find out what.', {
    cause: error,
  })
}

/** Express and its body parsers mark errors of the client with a status. */
function isClientError(error: unknown): error is { status: number } {
  return (
    error instanceof Error &&
    'status' in error &&
    typeof error.status === 'number' &&
    error.status >= 400 &&
    error.status < 500
  )
}

/** Postgres unreachable, shutting down or out of connections: codes of the network and of SQL classes 08, 53, 57P. */
function isOutage(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  if (error instanceof NoTurn) return true
  const code = 'code' in error ? String(error.code) : ''
  return (
    /^(ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|ENOTFOUND|08\w{3}|53\w{3}|57P\d\d)$/.test(code) ||
    /Connection terminated|timeout exceeded when trying to connect|Cannot use a pool/.test(error.message)
  )
}
