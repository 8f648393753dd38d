import type { QuotaRefusal } from '../ledger/creation.ts'
import { PARTIALS_PER_UPLOAD } from '../ledger/quotas.ts'
import { Refusal } from './refusal.ts'

/** Space is freed when files are deleted or an operator acts. */
const STORAGE_FULL_SECONDS = 60

export const storageFull = (): Refusal =>
  new Refusal(
    'storage-full',
    'The storage does not have enough free space for a file of this length.',
    {},
    STORAGE_FULL_SECONDS,
  )

/**
 * The refusal of an upload that exceeds a quota. `secondsUntilQuota`: until the owner's next open upload ends by
 * itself; undefined where none is open.
 */
export function quotaRefusalOf(
  { kind, quota }: QuotaRefusal,
  secondsUntilQuota: number | undefined,
): Refusal {
  const { bytes, uploads } = quota
  switch (kind) {
    case 'too-many-partials':
      return new Refusal(
        'too-many-open-uploads',
        'Too many partial uploads are waiting for concatenation. Concatenate or cancel some first.',
        { open: uploads.partials, limit: uploads.maxOpen * PARTIALS_PER_UPLOAD },
        secondsUntilQuota ?? 1,
      )
    case 'too-many-open':
      return new Refusal(
        'too-many-open-uploads',
        `At most ${uploads.maxOpen} uploads can be open at the same time. Finish or cancel one first.`,
        { open: uploads.open, limit: uploads.maxOpen },
        // One has ended in the meantime.
        secondsUntilQuota ?? 1,
      )
    case 'quota-bytes': {
      const { limit, used, reserved } = bytes
      const detail = 'The file does not fit into the remaining storage quota.'
      return new Refusal('quota-bytes-exceeded', detail, { limit, used, reserved })
    }
    case 'quota-uploads':
      return new Refusal(
        'quota-uploads-exceeded',
        'The quota for the number of uploads is exhausted.',
        { limit: uploads.limit },
        secondsUntilQuota ?? FULL_SECONDS,
      )
  }
}

/** Quota is freed when files are deleted, which cannot be foreseen: an hour keeps clients from asking all the time. */
const FULL_SECONDS = 3600
