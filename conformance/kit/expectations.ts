import type { Answer, Interim } from './answer.ts'

/** The server does otherwise than the requirement says. */
export class Deviation extends Error {}

/** Whether the requirement is met cannot be told here, and why. */
export class NotApplicable extends Error {}

/** What a row needs beforehand could not be had. `cause` is the row that is about it, and says so. */
export class Unprepared extends NotApplicable {
  override readonly cause: string

  constructor(cause: string, reason: string) {
    super(reason)
    this.cause = cause
  }
}

export function skip(reason: string): never {
  throw new NotApplicable(reason)
}

export function expectThat(isSo: boolean, otherwise: string): asserts isSo {
  if (!isSo) throw new Deviation(otherwise)
}

/** The status, and what the server said with it where it refused. */
export function describeAnswer({ status, body }: Answer): string {
  const text = status >= 400 ? body.toString('utf8').trim().slice(0, 300) : ''
  return text === '' ? String(status) : `${status} ${text}`
}

export function expectStatus(answer: Answer, ...allowed: readonly number[]): void {
  expectThat(
    allowed.includes(answer.status),
    `expected ${allowed.join(' or ')}, got ${describeAnswer(answer)}`,
  )
}

export function expectSuccess(answer: Answer): void {
  expectThat(isSuccess(answer), `expected a 2xx, got ${describeAnswer(answer)}`)
}

/** Refused as the client's fault: a 5xx would invite it to try the same again. */
export function expectRefusal(answer: Answer): void {
  expectThat(isRefusal(answer), `expected a 4xx, got ${describeAnswer(answer)}`)
}

/** Not accepted: refused, or failed by a fault of the server. */
export function expectFailure(answer: Answer): void {
  expectThat(!isSuccess(answer), `expected a refusal, got ${describeAnswer(answer)}`)
}

/** Of the same request sent several times at once, one at most succeeds. Others may be refused, or cut off. */
export async function expectOneAtMost(requests: readonly Promise<Answer>[]): Promise<void> {
  const answers = await Promise.allSettled(requests)
  const statuses = answers.map((answer) => (answer.status === 'fulfilled' ? answer.value.status : 'cut'))
  const accepted = statuses.filter((status) => status !== 'cut' && status < 300).length
  expectThat(accepted <= 1, `requests at one offset at the same time were answered ${statuses.join(', ')}`)
}

export const isSuccess = ({ status }: Answer) => status >= 200 && status < 300
export const isRefusal = ({ status }: Answer) => status >= 400 && status < 500

/** The value of a header that has to be there. */
export function headerOf(answer: Answer | Interim, name: string): string {
  const value = answer.headers.get(name)
  expectThat(value !== undefined, `the ${answer.status} has no ${name}`)
  return value
}

export function expectHeader(answer: Answer | Interim, name: string, wanted: string | RegExp): void {
  const value = headerOf(answer, name)
  const isWanted = typeof wanted === 'string' ? value === wanted : wanted.test(value)
  expectThat(isWanted, `expected ${name}: ${wanted}, got "${value}" with ${answer.status}`)
}

export function expectNoHeader(answer: Answer | Interim, name: string): void {
  const value = answer.headers.get(name)
  expectThat(value === undefined, `the ${answer.status} has ${name}: ${value}`)
}
