import { isCode } from '../../system/error-code.ts'

/** As tools and libraries without error codes write it. */
const NO_ROOM = /No space left on device|Disk quota exceeded/

/** Whether something failed because a disk is full: no verdict on a file, and no attempt that counts. */
export const isDiskFull = (error: unknown): boolean =>
  isCode(error, 'ENOSPC', 'EDQUOT') || (error instanceof Error && NO_ROOM.test(error.message))
