import type { Readable } from 'node:stream'
import busboy from 'busboy'
import { Problem } from '../../http/errors.ts'

// multipart/form-data (RFC 7578): the values come first, the file last. Browsers, curl and Uppy send it in the order in
// which it was put together.

export type FormFile = {
  bytes: Readable
  /** As the client sends them; undefined where it does not. */
  filename: string | undefined
  contentType: string | undefined
}

export type Form = {
  /** The file, and the values before it. Fails with `invalid-request`. */
  begun: Promise<{ file: FormFile; values: ReadonlyMap<string, string> }>
  /** Resolves when the whole form was read, with nothing behind the file. Fails with `invalid-request`. */
  ended: Promise<void>
  /** Reads no more. Resolves when the body is nobody's any more, so that its rest can be discarded. */
  close: () => Promise<void>
}

/** RFC 7578 § 4.4: that of a part which names none, as many programs send their files. */
const DEFAULT_TYPE = 'text/plain'

/** The first is one more than an upload may have, whose own check says what is wrong. */
const LIMITS = { fields: 65, fieldNameSize: 256, fieldSize: 16 * 1024, files: 1, parts: 67, headerPairs: 20 }

/**
 * Reads a form from the bytes of a body, as fast as its file is read. A failure of the bytes is that of the file, and of
 * both promises. `read`: the body, which ends with the signal.
 */
export function readForm(
  contentType: string,
  read: (signal: AbortSignal) => AsyncIterable<Uint8Array>,
): Form {
  const parser = parserFor(contentType)
  const values = new Map<string, string>()
  const begun = Promise.withResolvers<Awaited<Form['begun']>>()
  const ended = Promise.withResolvers<void>()
  let bytes: Readable | undefined
  const fail = (error: unknown) => {
    begun.reject(error)
    ended.reject(error)
    bytes?.destroy(error instanceof Error ? error : new Error(String(error)))
  }
  // Who reads the file hears of it; the others may not be listening yet.
  begun.promise.catch(() => {})
  ended.promise.catch(() => {})

  parser
    .on('field', (name, value, { nameTruncated, valueTruncated }) => {
      // Undefined where a part has no name, or text in a charset that there is not.
      if (typeof name !== 'string' || typeof value !== 'string' || name === '')
        return fail(malformed('A value of the form has no name, or is no text.'))
      if (value.includes('\ufffd')) return fail(malformed(`The value ${quoted(name)} is not in UTF-8.`))
      if (bytes) return fail(malformed(`The value ${quoted(name)} comes after the file. Put the file last.`))
      if (nameTruncated || valueTruncated)
        return fail(malformed(`The value ${quoted(name)} or its name is too long.`))
      if (values.has(name)) return fail(malformed(`The value ${quoted(name)} is there twice.`))
      values.set(name, value)
    })
    .on('file', (_name, part, { filename, mimeType }) => {
      bytes = part
      part.on('error', () => {})
      begun.resolve({
        file: {
          bytes: part,
          filename: filename || undefined,
          contentType: mimeType === DEFAULT_TYPE ? undefined : mimeType,
        },
        values,
      })
    })
    .on('filesLimit', () => fail(malformed('The form has more than one file.')))
    .on('fieldsLimit', () => fail(malformed(`The form has more than ${LIMITS.fields} values.`)))
    .on('partsLimit', () => fail(malformed('The form has too many parts.')))
    .on('error', (error) => fail(malformed('The form is malformed or incomplete.', error)))
    .on('close', () => {
      begun.reject(malformed('The form has no file.'))
      ended.resolve()
    })
  const closing = new AbortController()
  const writing = write(read(closing.signal), parser).catch(fail)
  return {
    begun: begun.promise,
    ended: ended.promise,
    async close() {
      closing.abort()
      parser.destroy()
      await writing
    },
  }
}

function parserFor(contentType: string): busboy.Busboy {
  try {
    return busboy({ headers: { 'content-type': contentType }, limits: LIMITS, defParamCharset: 'utf8' })
  } catch (error) {
    throw malformed('The Content-Type of a form has a boundary.', error)
  }
}

async function write(body: AsyncIterable<Uint8Array>, parser: busboy.Busboy): Promise<void> {
  try {
    for await (const chunk of body) {
      if (parser.destroyed) return
      if (!parser.write(chunk)) await drained(parser)
    }
    if (!parser.destroyed) parser.end()
  } catch (error) {
    // Its reader waits for no more bytes.
    parser.destroy()
    throw error
  }
}

const drained = (parser: busboy.Busboy): Promise<void> =>
  new Promise((resolve) => {
    const go = () => {
      parser.off('drain', go).off('close', go).off('error', go)
      resolve()
    }
    parser.once('drain', go).once('close', go).once('error', go)
  })

const malformed = (detail: string, cause?: unknown): Problem =>
  new Problem('invalid-request', detail, { cause })

const MAX_SHOWN = 80
const quoted = (name: string): string =>
  JSON.stringify(name.length > MAX_SHOWN ? `${name.slice(0, MAX_SHOWN)}…` : name)
