import { join } from 'node:path'
import { CATALOGUE } from '../../server/http/errors.ts'
import type { WireAnswer } from './answers.ts'

// What holds for every answer, whatever was asked.

const ROOT = join(import.meta.dirname, '..', '..')

/** Traces of what is inside: paths, stacks, SQL, errors of libraries and of the language. */
const INSIDE: readonly RegExp[] = [
  /node_modules|node:internal|file:\/\/\/(?!files)/,
  /\bat \S+ \(|\.[jt]s:\d+/,
  /\b(select|insert into|delete from|update)\b.*\b(from|values|where|set)\b/i,
  /landfall\.|relation "|violates|invalid input syntax|invalid byte sequence|out of range/,
  /\bE(NOENT|ACCES|CONN[A-Z]+|PERM|EXIST|ISDIR|NOTDIR|PIPE|NAMETOOLONG)\b|ERR_[A-Z]/,
  /Cannot read prop|is not a function|is not iterable|\[native code\]|\[object Object\]|ZodError|TypeError/,
]

/** What is wrong with an answer; undefined when nothing is. `sent` is what was written, as text. */
export function complaintAbout(
  answer: WireAnswer,
  sent: string,
  secrets: readonly string[],
): string | undefined {
  const { status, headers, body } = answer
  const all = [...[...headers].map(([name, value]) => `${name}: ${value}`), body].join('\n')
  // For methods that it does not know Node has an answer of its own, 400; a 501 would be none of anybody's.
  // Without a bucket there are no direct uploads.
  const isOff = status === 501 && body.includes('"direct-uploads-off"')
  if (status >= 500 && !isOff) return `the status is ${status}`
  const trace = INSIDE.map((pattern) => pattern.exec(all)?.[0]).find(
    (found) => found && !sent.includes(found),
  )
  if (trace !== undefined) return `it tells something from inside: ${trace}`
  const secret = [ROOT, ...secrets].find((one) => all.includes(one))
  if (secret !== undefined) return `it tells ${secret}`
  const offset = headers.get('upload-offset')
  if (offset !== undefined && !/^\d{1,16}$/.test(offset)) return `Upload-Offset is ${offset}`
  if (status < 400 || isOfNode(answer)) return undefined
  return complaintAboutProblem(answer)
}

/** Node itself refuses a request without Host and an expectation that it does not know, without a body. */
function isOfNode({ status, headers, body }: WireAnswer): boolean {
  return (
    (status === 400 || status === 417) &&
    body === '' &&
    !headers.has('content-type') &&
    !headers.has('x-request-id')
  )
}

function complaintAboutProblem({ status, headers, body, isWhole }: WireAnswer): string | undefined {
  const type = headers.get('content-type')
  if (type !== 'application/problem+json') return `it is no problem document but ${type}`
  // The answer to HEAD has no body, and of one that is cut there is nothing to say.
  if (body === '' || !isWhole) return undefined
  const { code, status: said } = JSON.parse(body) as { code?: unknown; status?: unknown }
  if (typeof code !== 'string' || !Object.hasOwn(CATALOGUE, code))
    return `its code is ${JSON.stringify(code)}`
  const entry: { status: number } = CATALOGUE[code as keyof typeof CATALOGUE]
  if (entry.status !== status || said !== status) return `${code} comes with ${status} and says ${said}`
  return undefined
}
