import type { Problem, Reason } from './contract.ts'

/** A request that failed, in words a person can act on. `code` is the server's, or `network`. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  readonly status: number
  readonly code: string

  constructor(reason: Reason, status: number, options?: ErrorOptions) {
    super(inPlainWords(reason), options)
    this.code = reason.code
    this.status = status
  }
}

const plainWords: Readonly<Record<string, string>> = {
  network: 'The server cannot be reached. Check your connection and try again.',
  'token-missing': 'You are not signed in.',
  'token-invalid': 'The server did not accept your sign-in.',
  'token-expired': 'Your sign-in has expired.',
  forbidden: 'Your account may not do this.',
  'not-found': 'This is no longer there.',
  locked: 'Another connection is still sending this file. Try again in a moment.',
  'too-many-open-uploads': 'Too many uploads are open at once. Finish or cancel one, then try again.',
  'rate-limited': 'That was a little fast for the server. Try again in a moment.',
  'quota-bytes-exceeded': 'There is not enough storage left for this file. Delete something first.',
  'quota-uploads-exceeded': 'You have used all uploads of this period.',
  'upload-terminated': 'This upload was cancelled.',
  'upload-expired': 'This upload was left unfinished for too long and has been removed.',
  'checksum-mismatch': 'A piece of the file was damaged on the way. Try again.',
  unavailable: 'The server is busy or restarting. Try again in a moment.',
  'storage-full': 'The server’s disk is full.',
  infected: 'The virus scanner found something harmful in this file, so it was not kept.',
  'scan-limit-exceeded': 'The virus scanner could not check this file, so it was not kept.',
  duplicate: 'You have this file already.',
  'type-not-recognised': 'The content of this file is of no type the server knows.',
  'processing-failed': 'The server could not process this file. That is not the file’s fault.',
}

/** Known codes get our words; every other code carries a readable `detail` of the server's. */
export function inPlainWords(reason: Reason): string {
  return plainWords[reason.code] ?? (reason.detail || 'Something went wrong on the server.')
}

/** Reads an error body, also one that is not ours: a proxy between us and the server answers with HTML. */
export function parseProblem(body: string, status: number): Reason {
  try {
    const parsed = JSON.parse(body) as Partial<Problem>
    if (parsed.code === 'upload-rejected' && parsed.reason) return parsed.reason
    if (typeof parsed.code === 'string') {
      return { code: parsed.code, detail: parsed.detail ?? parsed.title ?? '' }
    }
  } catch {
    // Not JSON: the status is all there is.
  }
  return { code: `http-${status}`, detail: `The server answered with status ${status}.` }
}

/** Verdicts against the file itself: sending the same file again cannot help. */
const verdicts = new Set([
  'type-not-allowed',
  'too-large',
  'too-small',
  'content-rejected',
  'upload-rejected',
  'invalid-metadata',
  'infected',
  'scan-limit-exceeded',
  'type-not-recognised',
  'type-mismatch',
  'duplicate',
  'damaged',
  'no-media',
  'encrypted',
  'too-long',
  'dimensions-too-small',
  'dimensions-too-large',
])

export function isVerdict(code: string): boolean {
  return verdicts.has(code)
}

export function messageOf(error: unknown): string {
  return error instanceof ApiError ? error.message : inPlainWords({ code: 'unknown', detail: '' })
}
