import { ContentRejected } from '../../../content/verdict.ts'
import { Refusal } from '../../../hooks/refusal.ts'
import type { Ledger } from '../../../ledger/database.ts'
import {
  beginDirect,
  bytesOfEndedForms,
  DIRECT_LINK_SECONDS,
  type DueLook,
  directUpload,
  extendDirect,
  noteEmpty,
  noteFound,
} from '../../../ledger/direct-uploads.ts'
import type { OwnerId } from '../../../ledger/ids.ts'
import { readQuota } from '../../../ledger/quotas.ts'
import type { UploadRow } from '../../../ledger/uploads.ts'
import { type DirectBytes, PartsMismatch } from '../../../storage/s3/direct-bytes.ts'
import type { ListedPart, StorageForm } from '../../../storage/s3/s3-links.ts'
import { formKey } from '../../../storage/store/keys.ts'
import { BytesLost } from '../../../storage/store/objects.ts'
import { LeaseLost } from '../../../storage/store/outcomes.ts'
import { Problem } from '../../http/errors.ts'
import type { UploadEngine } from '../engine.ts'
import { type Held, leaseOf, notHeld, rowOf, type UploadCall } from '../held.ts'
import { UploadGone, UploadNotFound } from '../outcomes.ts'
import { uploadProblem } from '../problems.ts'

export type DirectOptions = {
  engine: UploadEngine
  db: Ledger
  /** Undefined without a bucket. */
  bytes: DirectBytes | undefined
  /** Whether new uploads go there. */
  isOffered: boolean
  /** Fails where new bytes cannot be stored now. */
  checkUsable: () => Promise<void>
  /** Fails where the bucket gives the holder of a link more than it should. */
  checkLinks: () => Promise<void>
  /** Called when there is something new to look for. */
  onBegun: () => void
}

/** A direct upload as its client declares it. `size`: bytes; null where it is known when all of it is stored. */
export type NewDirect = { size: number | null; metadata: Record<string, string | null> }

/** A link to store one part. `size`: what it takes, in bytes; undefined where the client decides. */
export type PartLink = { partNumber: number; size: number | undefined; url: string }

/** What a client may do with the bucket, for so many seconds. */
export type Links<T> = { links: T; seconds: number }

const MIB = 1024 * 1024
/** S3 takes no smaller part but for the last, and no more parts. */
const MIN_PART = 5 * MIB
const MAX_PART = 5 * 1024 * MIB
const MAX_PARTS = 10_000
/** More than this are a burden for their client; parts grow before. */
const USUAL_PARTS = 1000
/** First bytes that are judged at completion: processing checks the rest. */
const HEAD_BYTES = 1024 * 1024

/** Bytes of each part but the last, of a file of this size. */
export function partSizeOf(size: number): number {
  return Math.min(Math.max(MIN_PART, Math.ceil(size / USUAL_PARTS / MIB) * MIB), MAX_PART)
}

/**
 * Uploads whose bytes go from the client to the bucket and not through here: the hooks, quota, ledger and pipeline are
 * those of every other upload. Every operation fails with a `Problem`.
 */
export class DirectUploads {
  readonly #options: DirectOptions

  constructor(options: DirectOptions) {
    this.#options = options
  }

  /** Begins one in parts. Its `part_size` is that of all parts but the last where the size is known. */
  async begin(call: UploadCall, wanted: NewDirect): Promise<UploadRow> {
    return await this.#begin(call, wanted, 'parts', async (held, bytes) => {
      const size = wanted.size ?? this.#options.engine.policy.maxSize
      await bytes.openParts(rowOf(held), leaseOf(held), partSizeOf(size))
      return rowOf(held)
    })
  }

  /** Begins one by a form with the whole file, which nobody has to complete: the bucket is asked for it. */
  async beginForm(call: UploadCall, wanted: NewDirect): Promise<Links<StorageForm> & { upload: UploadRow }> {
    return await this.#begin(call, wanted, 'form', async (held, bytes, seconds) => {
      const upload = rowOf(held)
      const links = await bytes.formOf(keyOfForm(upload), this.#formSizes(upload), seconds)
      return { links, seconds, upload }
    })
  }

  /**
   * Links to store the parts that `wanted` reads from the request, once it is clear whose upload it is. With a declared
   * size they are for the sizes that follow from it. Otherwise as many parts are possible as the largest file has.
   */
  async sign(call: UploadCall, wanted: () => readonly number[]): Promise<Links<PartLink[]>> {
    return await asProblems(async () => {
      const { upload, formKey } = await this.#open(call)
      const partNumbers = wanted()
      const bytes = this.#bytes()
      if (formKey !== null) throw new PartsMismatch('The file of this upload is sent by a form.')
      const { engine, db, checkLinks } = this.#options
      const { maxSize } = engine.policyFor(upload)
      const sizes = partNumbers.map((number) => [number, sizeOfPart(upload, number, maxSize)] as const)
      await checkLinks()
      const left = await extendDirect(db, call.ownerId, call.uploadId, engine.policy.expiry)
      if (left === undefined) throw new LeaseLost()
      const seconds = linkSecondsOf(left)
      const links = await Promise.all(
        sizes.map(async ([partNumber, size]) => {
          const url = await bytes.linkOfPart(upload, { partNumber, size }, seconds)
          return { partNumber, size, url }
        }),
      )
      return { links, seconds }
    })
  }

  /** The parts that the bucket has. */
  async parts(call: UploadCall): Promise<ListedPart[]> {
    return await asProblems(async () => {
      const { upload } = await this.#open(call)
      return (await this.#bytes().partsOf(upload, call.over)) ?? []
    })
  }

  /** The upload, open or received, as `find` has it. */
  async find(call: UploadCall): Promise<UploadRow> {
    return await asProblems(() => this.#find(call))
  }

  /**
   * Completes the upload: its size is checked, its first bytes are judged, and it is processed. `sent`: reads from the
   * request the etags of its parts, by number; all that the bucket has by default. Repeatable: a complete one is
   * returned as it is.
   */
  async complete(
    call: UploadCall,
    sent: () => ReadonlyMap<number, string> | undefined = () => undefined,
  ): Promise<UploadRow> {
    return await asProblems(async () => {
      await this.#find(call)
      const etags = sent()
      const bytes = this.#bytes()
      const { engine, db } = this.#options
      const held = notHeld(call)
      // One that has begun is not ended because another waits: that one would begin anew.
      const signal = call.over
      await engine
        .hold(held, async () => {
          const upload = await engine.look(held, 'read')
          if (upload.state === 'received') return
          const direct = await directUpload(db, call.ownerId, call.uploadId)
          if (!direct) throw new UploadNotFound()
          // A form is of any size: what is stored of it may have been another file, in an attempt before.
          const declared = direct.formKey === null ? upload.size : null
          const check = (size: number) => this.#checkSize(upload, declared, size)
          const completion = { lease: leaseOf(held), check, signal }
          const whole = await this.#guarded(held, async () =>
            direct.formKey === null
              ? await bytes.joinParts(upload, etags, completion)
              : await bytes.takeForm(upload, direct.formKey, completion),
          )
          await this.#guarded(held, async () => {
            // An interrupted attempt has stored it, and the limits may be others now.
            check(whole.size)
            await engine.finishStored(held, whole, bytes.head(upload, whole, { most: HEAD_BYTES, signal }))
          })
        })
        .catch((error: unknown) => {
          // A call that was given up is no failure of the bucket.
          signal.throwIfAborted()
          throw error
        })
      return rowOf(held)
    })
  }

  /**
   * Asks the bucket for what the client of an open upload does not tell. Returns whether it is to be completed: a form has
   * put the file, or the parts were joined by somebody who has not come to the end. Parts of no declared size that are more
   * than the largest file end it.
   */
  async look(call: UploadCall, { formKey, askedAt }: Pick<DueLook, 'formKey' | 'askedAt'>): Promise<boolean> {
    return await asProblems(async () => {
      const bytes = this.#bytes()
      const { engine, db } = this.#options
      if (formKey !== null) {
        const isEmpty = await bytes.lacks(formKey, call.over)
        await (isEmpty ? noteEmpty(db, call.uploadId, askedAt) : noteFound(db, call.uploadId))
        return !isEmpty
      }
      const upload = await engine.find(call)
      if (upload?.state !== 'open') return false
      let parts = await bytes.partsOf(upload, call.over)
      // Without an id it was joined; or never opened, so that its client knows of no upload and nothing of it was lost.
      if (!parts && upload.multipart_id === null && (await bytes.lacks(upload.storage_key, call.over)))
        parts = []
      if (!parts) return true
      if (parts.length === 0) await noteEmpty(db, upload.id, askedAt)
      const stored = parts.reduce((sum, { size }) => sum + size, 0)
      if (upload.size !== null || stored <= engine.policyFor(upload).maxSize) return false
      const held = notHeld(call)
      await engine.hold(held, async () => {
        const row = await engine.look(held, 'read')
        if (row.state === 'open') await this.#guarded(held, async () => this.#checkSize(row, null, stored))
      })
      return false
    })
  }

  /** Ends the upload and removes what was stored. */
  async abort(call: UploadCall): Promise<void> {
    await asProblems(async () => {
      await this.#find(call)
      const held = notHeld(call)
      await this.#options.engine.hold(held, () => this.#options.engine.cancel(held))
    })
  }

  async #begin<Result>(
    call: UploadCall,
    { size, metadata }: NewDirect,
    way: 'form' | 'parts',
    open: (held: Held, bytes: DirectBytes, linkSeconds: number) => Promise<Result>,
  ): Promise<Result> {
    return await asProblems(async () => {
      const { engine, db, checkUsable, checkLinks, onBegun } = this.#options
      const bytes = this.#bytes()
      if (!this.#options.isOffered) throw notOffered()
      await checkUsable()
      await checkLinks()
      const held = notHeld(call)
      held.upload = await engine.create(call, {
        protocol: 'direct',
        size,
        metadata,
        metadataHeader: null,
        concat: null,
        isPartial: false,
        digests: null,
        wantedDigest: null,
      })
      try {
        return await engine.hold(held, async () => {
          const upload = await engine.look(held, 'read')
          if (way === 'form') await this.#checkEndedForms(call.ownerId)
          // What the bucket takes of a form in the last moment is found long before the upload expires.
          const leftSeconds = (upload.expires_at.getTime() - upload.read_at.getTime()) / 1000
          const seconds = linkSecondsOf(way === 'form' ? leftSeconds / 2 : leftSeconds)
          const form =
            way === 'form' ? { key: keyOfForm(upload), maxBytes: this.#formSizes(upload).maxBytes } : null
          const { fence } = leaseOf(held)
          if (!(await beginDirect(db, { id: upload.id, fence, form, linkSeconds: seconds })))
            throw new LeaseLost()
          const begun = await open(held, bytes, seconds)
          onBegun()
          return begun
        })
      } catch (error) {
        // Where it cannot be withdrawn, it expires; the failure is what the client has to know.
        await engine.withdraw(call).catch(() => {})
        throw error
      }
    })
  }

  #formSizes(upload: UploadRow): { minBytes: number; maxBytes: number } {
    const { minSize, maxSize } = this.#options.engine.policyFor(upload)
    return { minBytes: upload.size ?? minSize, maxBytes: upload.size ?? maxSize }
  }

  /** Fails with a `Refusal` where the quota has no room for what forms can still bring whose uploads have ended. */
  async #checkEndedForms(ownerId: OwnerId): Promise<void> {
    const { db, engine } = this.#options
    const late = await bytesOfEndedForms(db, ownerId)
    if (late === 0) return
    const { limit, used, reserved } = (await readQuota(db, ownerId, engine.policy.quota)).bytes
    if (limit === null || used + reserved + late <= limit) return
    throw new Refusal(
      'quota-bytes-exceeded',
      'Forms of uploads that have ended are still valid, and can bring more than the remaining storage quota.',
      { limit, used, reserved: reserved + late },
    )
  }

  /** `declared`: by its client. Fails with `PartsMismatch` where more may come, and otherwise as a verdict. */
  #checkSize(upload: UploadRow, declared: number | null, size: number): void {
    const policy = this.#options.engine.policyFor(upload)
    if (size > policy.maxSize)
      throw new ContentRejected({
        code: 'length-exceeded',
        detail: `The file has ${size} bytes, and at most ${policy.maxSize} are accepted.`,
      })
    if (declared !== null && size !== declared)
      throw new PartsMismatch(`The bucket has ${size} bytes, and the file has ${declared}.`)
    if (size < policy.minSize)
      throw new ContentRejected({
        code: 'too-small',
        detail: `The file has ${size} bytes, and at least ${policy.minSize} are required.`,
      })
  }

  /** Ends the upload where what is stored is no file that can be accepted. */
  async #guarded<Result>(held: Held, work: () => Promise<Result>): Promise<Result> {
    try {
      return await work()
    } catch (error) {
      const { engine } = this.#options
      if (error instanceof BytesLost) return await engine.rejectLost(held)
      if (error instanceof ContentRejected) return await engine.rejectStored(held, error)
      throw error
    }
  }

  async #find(call: UploadCall): Promise<UploadRow> {
    const upload = await this.#options.engine.find(call)
    if (upload?.protocol !== 'direct') throw new UploadNotFound()
    if (upload.state !== 'open' && upload.state !== 'received') throw new UploadGone(upload)
    return upload
  }

  async #open(call: UploadCall): Promise<{ upload: UploadRow; formKey: string | null }> {
    const upload = await this.#find(call)
    if (upload.state === 'received')
      throw new Problem('upload-complete', 'The upload is complete: no more parts are stored.')
    const direct = await directUpload(this.#options.db, call.ownerId, call.uploadId)
    if (!direct) throw new UploadNotFound()
    return { upload, ...direct }
  }

  #bytes(): DirectBytes {
    const { bytes } = this.#options
    if (!bytes) throw notOffered()
    return bytes
  }
}

const notOffered = (): Problem =>
  new Problem(
    'direct-uploads-off',
    'This server stores files on its disk, where nobody can send them directly: send them to /files.',
  )

const keyOfForm = ({ storage_key: key }: UploadRow): string => formKey(key)

/** Whole seconds of links, where at most so many are left. */
const linkSecondsOf = (left: number): number => Math.max(1, Math.min(DIRECT_LINK_SECONDS, Math.floor(left)))

/**
 * Bytes of a part, undefined where the client decides. Fails with `PartsMismatch` for a part that the file does not have,
 * or that no file within the limits has.
 */
function sizeOfPart({ size, part_size }: UploadRow, partNumber: number, maxSize: number): number | undefined {
  const partSize = Number(part_size ?? MIN_PART)
  const count =
    size === null ? Math.max(1, Math.ceil(maxSize / MIN_PART)) : Math.max(1, Math.ceil(size / partSize))
  const last = Math.min(count, MAX_PARTS)
  if (partNumber > last) throw new PartsMismatch(`This upload has at most ${last} parts.`, [partNumber])
  if (size === null) return undefined
  return Math.min(partSize, size - (partNumber - 1) * partSize)
}

async function asProblems<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work()
  } catch (error) {
    throw uploadProblem(error)
  }
}
