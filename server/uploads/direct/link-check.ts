import type { LinkProbe } from '../../../storage/s3/link-probe.ts'
import { Problem } from '../../http/errors.ts'
import type { Log } from '../../process/log.ts'

/**
 * Fails with a `Problem` where the links of the bucket would read what they should not, which the log says once; and as
 * a storage does that is unavailable.
 */
export function linkCheck(probe: LinkProbe | undefined, log: Log): () => Promise<void> {
  let isTold = false
  return async () => {
    if (!probe || (await probe.areSafe())) return
    if (!isTold) log.error(UNSAFE)
    isTold = true
    throw new Problem(
      'direct-uploads-off',
      'In this bucket, the holder of a link could read the files of others, so this server gives none: see "Direct uploads from browsers" in docs/deployment.md.',
    )
  }
}

const UNSAFE =
  'direct uploads are off: this bucket lets the holder of a link copy any object that our credentials can read ' +
  '(x-amz-copy-source). Set S3_LINK_ACCESS_KEY_ID and S3_LINK_SECRET_ACCESS_KEY, of a user that can read nothing, and ' +
  'start again: see "Direct uploads from browsers" in docs/deployment.md'
