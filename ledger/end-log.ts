import type { Ledger } from './database.ts'
import { describeEnds, type End } from './ends.ts'
import { ownerOf } from './ids.ts'
import type { MediaRow } from './media.ts'
import type { Reason } from './schema.ts'
import type { UploadRow } from './uploads.ts'

type Write = (details: object, message: string) => void
type Log = { info: Write; warn: Write; error: Write }

/** Ends that an operator has to look at; `media.failed` always is one. */
const LEVELS: Readonly<Record<string, 'warn' | 'error'>> = { infected: 'warn', 'bytes-lost': 'error' }

/**
 * One log line for each end of an upload or media item, written by the process that decided it, after its commit. The
 * fields are the same everywhere: see `End`.
 */
export class EndLog {
  readonly #log: Log

  constructor(log: Log) {
    this.#log = log
  }

  /** `more`: ids that only some lines have, such as the request's. */
  log(end: End, more: object = {}): void {
    const level = end.event === 'media.failed' ? 'error' : (LEVELS[end.reason ?? ''] ?? 'info')
    this.#log[level]({ ...end, ...more }, end.event.replace('.', ' '))
  }

  /** An upload as it is after its end. */
  upload(event: End['event'], upload: UploadRow, reason: Reason | null, more: object = {}): void {
    const { id, media_id, offset } = upload
    this.#row(upload, { event, uploadId: id, mediaId: media_id, bytes: offset }, reason, more)
  }

  media(event: End['event'], media: MediaRow, reason: Reason | null, more: object = {}): void {
    const { id, upload_id, size } = media
    this.#row(media, { event, uploadId: upload_id, mediaId: id, bytes: size }, reason, more)
  }

  #row(
    { owner_id, created_at }: Pick<UploadRow, 'owner_id' | 'created_at'>,
    end: Pick<End, 'event' | 'uploadId' | 'mediaId' | 'bytes'>,
    reason: Reason | null,
    more: object,
  ): void {
    const durationMs = Math.max(0, Date.now() - created_at.getTime())
    this.log({ ...end, ...ownerOf(owner_id), reason: reason?.code ?? null, durationMs }, more)
  }

  /** Reads the ends of these uploads from the ledger. A failure is only logged: the uploads have ended. */
  async byId(
    db: Ledger,
    event: End['event'],
    uploadIds: readonly string[],
    more: object = {},
  ): Promise<void> {
    try {
      for (const end of await describeEnds(db, event, uploadIds)) this.log(end, more)
    } catch (err) {
      this.#log.error({ err, event, uploadIds }, 'log lines for ended uploads could not be written')
    }
  }
}
