import type { Declared } from '../kit/row.ts'
import { announcementRows } from './announcements.ts'
import { checksumRows } from './checksum.ts'
import { checksumTrailerRows } from './checksum-trailer.ts'
import { finalRows, partialRows } from './concatenation.ts'
import { unfinishedRows } from './concatenation-unfinished.ts'
import { creationRows } from './creation.ts'
import { creationWithUploadRows } from './creation-with-upload.ts'
import { deferLengthRows, fixedLengthRows } from './defer-length.ts'
import { expirationRows } from './expiration.ts'
import { headRows } from './head.ts'
import { interruptionRows } from './interruption.ts'
import { methodOverrideRows } from './method-override.ts'
import { optionsRows } from './options.ts'
import { patchRows } from './patch.ts'
import { terminationRows } from './termination.ts'
import { versionRows } from './version.ts'

/** tus 1.0, in the order of its document. */
export const tusRows: readonly Declared[] = [
  ...fixedLengthRows,
  ...versionRows,
  ...methodOverrideRows,
  ...headRows,
  ...patchRows,
  ...interruptionRows,
  ...optionsRows,
  ...announcementRows,
  ...creationRows,
  ...deferLengthRows,
  ...creationWithUploadRows,
  ...expirationRows,
  ...checksumRows,
  ...checksumTrailerRows,
  ...terminationRows,
  ...partialRows,
  ...finalRows,
  ...unfinishedRows,
]
