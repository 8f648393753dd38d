import { parseArgs } from 'node:util'
import { INTEROPS, type Interop, type Protocol } from './kit/protocols.ts'

export const HELP = `upload-conformance URL [options]: does the server at URL keep to tus 1.0 and to the IETF draft?

  URL                where uploads are created, such as http://127.0.0.1:1080/files
  --token TOKEN      a bearer token, sent with every request
  --protocol NAME    tus or ietf; both without it
  --interop VERSION  of the IETF draft "Resumable Uploads for HTTP": 8 (draft-12), or 6 (draft-05); 8 without it
  --only PATTERN     the rows whose id or section matches this regular expression
  --json             prints the results as JSON
  --help

It creates uploads and removes them again where the server lets it. What the server does not offer is skipped, and so
is what rests on a row that is not met. Exit code 0 when every MUST is met, 1 when one is not, 2 when called wrongly,
when nobody answers, or when every row was skipped. The README says more.
`

export type Options = {
  endpoint: URL
  token: string | null
  protocols: readonly Protocol[]
  interop: Interop
  only: RegExp
  isJson: boolean
}

/** The suite was called wrongly. */
export class UsageError extends Error {}

const PROTOCOLS: readonly Protocol[] = ['tus', 'ietf']

/** Reads the arguments; undefined when help is asked for. Fails with `UsageError`. */
export function parseOptions(args: readonly string[]): Options | undefined {
  const { values, positionals } = parsed(args)
  const { help, token, protocol, interop = '8', only = '', json } = values
  if (help) return undefined
  const [url, ...others] = positionals
  if (url === undefined || others.length > 0) throw new UsageError('one URL is needed; --help says more')
  const protocols = PROTOCOLS.filter((name) => protocol === undefined || protocol === name)
  if (protocols.length === 0) throw new UsageError(`--protocol takes tus or ietf, not "${protocol}"`)
  const version = INTEROPS.find((known) => String(known) === interop)
  if (version === undefined) throw new UsageError(`--interop takes 6 or 8, not "${interop}"`)
  return {
    endpoint: endpointOf(url),
    token: token ?? null,
    protocols,
    interop: version,
    only: patternOf(only),
    isJson: json === true,
  }
}

function endpointOf(text: string): URL {
  const url = URL.parse(text)
  if (url && /^https?:$/.test(url.protocol)) return url
  throw new UsageError(`"${text}" is no http:// or https:// URL`)
}

function patternOf(text: string): RegExp {
  try {
    return new RegExp(text, 'i')
  } catch {
    throw new UsageError(`--only takes a regular expression, not "${text}"`)
  }
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        token: { type: 'string' },
        protocol: { type: 'string' },
        interop: { type: 'string' },
        only: { type: 'string' },
        json: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    })
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}
