import type { UploadPolicy } from '../../../hooks/pre-create.ts'
import type { UploadRow } from '../../../ledger/uploads.ts'
import type { InteropVersion } from './fields.ts'

/** § Upload-Limit: the same for every upload. Bytes. */
export const limitsOf = ({ maxSize, minSize }: Pick<UploadPolicy, 'maxSize' | 'minSize'>): string =>
  `max-size=${maxSize}, min-size=${minSize}`

/** The same with the seconds for which this upload can still be resumed. */
export function limitsOfUpload(
  policy: Pick<UploadPolicy, 'maxSize' | 'minSize'>,
  upload: UploadRow,
  version: InteropVersion | undefined,
): string {
  if (upload.state !== 'open') return limitsOf(policy)
  const seconds = Math.max(0, Math.floor((upload.expires_at.getTime() - upload.read_at.getTime()) / 1000))
  return `${limitsOf(policy)}, ${version === 6 ? 'expires' : 'max-age'}=${seconds}`
}
