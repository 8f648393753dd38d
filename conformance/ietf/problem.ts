import type { Answer } from '../kit/answer.ts'
import { expectThat, headerOf, skip } from '../kit/expectations.ts'

const REGISTRY = 'https://iana.org/assignments/http-problem-types#'

export type ProblemType = 'mismatching-upload-offset' | 'inconsistent-upload-length' | 'completed-upload'

/** The members of a problem document (RFC 9457) of this registered type; fails when the answer holds another. */
export function problemOf(answer: Answer, type: ProblemType): Readonly<Record<string, unknown>> {
  const contentType = headerOf(answer, 'Content-Type')
  expectThat(/^application\/problem\+json\b/.test(contentType), `the ${answer.status} is ${contentType}`)
  const problem = JSON.parse(answer.body.toString('utf8')) as Record<string, unknown>
  expectThat(problem.type === REGISTRY + type, `the type of the problem is ${problem.type}`)
  return problem
}

/** As `problemOf`, for what is asked only of servers that use the type at all. */
export function problemIfUsed(answer: Answer, type: ProblemType): Readonly<Record<string, unknown>> {
  try {
    return problemOf(answer, type)
  } catch {
    skip(`the server does not use the problem type ${type}`)
  }
}
