import { parse as parseDisposition } from 'content-disposition'
import type { Request, Response } from 'express'
import { newUploadId } from '../../../ledger/ids.ts'
import type { UploadRow } from '../../../ledger/uploads.ts'
import { BodyTooLong } from '../../../storage/store/outcomes.ts'
import { principalOf } from '../../auth/authenticate.ts'
import { Problem } from '../../http/errors.ts'
import { mediaTypeOf } from '../../http/list-header.ts'
import type { Body } from '../body.ts'
import { callOf } from '../call.ts'
import { refuseContentCoding } from '../content-coding.ts'
import type { UploadEngine } from '../engine.ts'
import { notHeld, rowOf } from '../held.ts'
import { Interrupted } from '../outcomes.ts'
import { uploadProblem } from '../problems.ts'
import { type BodyOptions, bodyOf } from '../request-body.ts'
import { readForm } from './form.ts'

export type SimpleOptions = BodyOptions & {
  /** Bytes that a file may have. */
  maxSize: number
}

/** What a form has beside its file. */
const MAX_VALUES_BYTES = 1024 * 1024
/** Its client cannot resume it: what a killed server leaves of one is removed after this time. */
const KEPT_SECONDS = 2 * 3600

type Source = {
  metadata: Record<string, string | null>
  /** Undefined where it is known when all of it was read. */
  size: number | undefined
  body: Body
  /** Resolves when nothing else can be wrong with the request. */
  ended: () => Promise<void>
  /** Reads no more of it. */
  close: () => Promise<void>
}

/**
 * Receives a whole file with one request, as a form or as the body, by the same engine as every other upload. A request
 * that fails leaves nothing. Fails with a `Problem`.
 */
export async function receiveSimply(
  engine: UploadEngine,
  options: SimpleOptions,
  request: Request,
  response: Response,
): Promise<UploadRow> {
  const call = callOf(request, response, newUploadId())
  refuseContentCoding(request)
  const held = notHeld(call)
  const { maxSize } = options

  async function receiveFrom(source: Source, body: Body): Promise<void> {
    held.upload = await engine.create(call, {
      protocol: 'simple',
      size: source.size ?? null,
      metadata: source.metadata,
      metadataHeader: null,
      concat: null,
      isPartial: false,
      digests: null,
      wantedDigest: null,
      terms: {
        // What is reserved of the quota until the size is known.
        maxSize: Math.min(maxSize, body.length ?? maxSize),
        until: new Date(Date.now() + KEPT_SECONDS * 1000).toISOString(),
      },
    })
    await engine.hold(held, async (signal) => {
      await engine.look(held, 'append')
      await engine.receive(held, source.body, {
        offset: held.offset,
        maxBytes: maxSize,
        signal,
        onWhole: async (to) => {
          await source.ended()
          if (rowOf(held).size === null) await engine.declareLength(held, to, to)
        },
      })
    })
  }

  try {
    return await engine.admit(principalOf(response).ownerId, async () => {
      const body = bodyOf(request, response, options)
      const source = await sourceOf(request, body, options, call.over)
      try {
        await receiveFrom(source, body)
      } finally {
        await source.close()
      }
      const upload = rowOf(held)
      if (upload.state !== 'received') throw new Interrupted()
      return upload
    })
  } catch (error) {
    // Where it cannot be withdrawn, it expires; the failure is what the client has to know.
    if (held.upload?.state === 'open') await engine.withdraw(call).catch(() => {})
    const most = held.upload?.terms?.maxSize ?? maxSize
    throw error instanceof BodyTooLong ? tooLarge(most) : uploadProblem(error)
  }
}

async function sourceOf(
  request: Request,
  body: Body,
  { maxSize }: SimpleOptions,
  over: AbortSignal,
): Promise<Source> {
  const type = mediaTypeOf(request.headers['content-type'])
  if (type === undefined)
    throw new Problem(
      'unsupported-content-type',
      'Send a form, or the bytes of a file with its Content-Type.',
    )
  if (body.length === 0) throw new Problem('invalid-request', 'The request has no file.')
  if (type === 'application/x-www-form-urlencoded')
    throw new Problem(
      'unsupported-content-type',
      'A form with a file has the type multipart/form-data: enctype="multipart/form-data".',
    )
  if (type === 'multipart/form-data') return await fromForm(request, body, maxSize, over)
  if (type.startsWith('multipart/'))
    throw new Problem(
      'unsupported-content-type',
      'Of multipart bodies, only multipart/form-data is accepted.',
    )
  if ((body.length ?? 0) > maxSize) throw tooLarge(maxSize)
  const filename = nameOf(request)
  return {
    metadata: {
      filetype: request.headers['content-type'] ?? null,
      ...(filename === undefined ? {} : { filename }),
    },
    size: body.length,
    body,
    ended: async () => {},
    close: async () => {},
  }
}

async function fromForm(request: Request, body: Body, maxSize: number, over: AbortSignal): Promise<Source> {
  const maxBytes = maxSize + MAX_VALUES_BYTES
  if ((body.length ?? 0) > maxBytes) throw tooLarge(maxSize)
  const { begun, ended, close } = readForm(request.headers['content-type'] ?? '', (signal) =>
    body.read({ maxBytes, signal: AbortSignal.any([over, signal]) }),
  )
  const { file, values } = await begun.catch(async (error: unknown) => {
    await close()
    throw error
  })
  let isWhole = false
  return {
    // A name or type that the form gives in a value of its own is meant.
    metadata: {
      ...(file.filename === undefined ? {} : { filename: file.filename }),
      ...(file.contentType === undefined ? {} : { filetype: file.contentType }),
      ...Object.fromEntries(values),
    },
    size: undefined,
    body: {
      length: undefined,
      isWhole: () => isWhole,
      async *read(limits) {
        const { signal } = limits
        if (signal.aborted) return
        let received = 0
        // Also while nothing comes: another request wants the upload, or the server stops.
        const onSignal = () => void file.bytes.destroy()
        signal.addEventListener('abort', onSignal, { once: true })
        try {
          for await (const chunk of file.bytes as AsyncIterable<Buffer>) {
            if (signal.aborted) return
            received += chunk.length
            if (received > limits.maxBytes) throw new BodyTooLong()
            yield chunk
          }
        } catch (error) {
          if (signal.aborted) return
          // The parser ends the file where the form is at fault, and says more of it.
          if (!(error instanceof BodyTooLong)) await ended
          throw error
        } finally {
          signal.removeEventListener('abort', onSignal)
        }
        isWhole = true
      },
    },
    ended: () => ended,
    close,
  }
}

/** `filename` of Content-Disposition (RFC 6266), or of the query. */
function nameOf(request: Request): string | undefined {
  const { filename } = request.query
  const header = request.headers['content-disposition']
  if (header === undefined) return typeof filename === 'string' ? filename : undefined
  try {
    return parseDisposition(header).parameters.filename
  } catch (error) {
    throw new Problem('invalid-header', 'Content-Disposition is malformed.', { cause: error })
  }
}

const tooLarge = (maxSize: number): Problem =>
  new Problem(
    'too-large',
    `A file of one request has at most ${maxSize} bytes. Larger ones are sent to /files, in pieces.`,
    { members: { maxSize } },
  )
