import * as ledger from './0001-ledger.ts'
import * as purge from './0002-purge.ts'
import * as s3 from './0003-s3.ts'
import * as protocols from './0004-protocols.ts'
import * as processing from './0005-processing.ts'
import * as fairProcessing from './0006-fair-processing.ts'
import * as expiry from './0007-expiry.ts'
import * as retention from './0008-retention.ts'
import * as storagePlaces from './0009-storage-places.ts'
import * as strayCopies from './0010-stray-copies.ts'
import * as retentionOfEnded from './0012-retention-of-ended.ts'
import * as concatenations from './0013-concatenations.ts'
import * as toldEvents from './0014-told-events.ts'
import * as streams from './0015-streams.ts'
import * as documents from './0016-documents.ts'
import * as tenants from './0017-tenants.ts'
import * as descriptions from './0018-descriptions.ts'
import * as mediaLists from './0019-media-lists.ts'
import * as tickets from './0020-tickets.ts'
import * as duplicates from './0021-duplicates.ts'
import * as mediaLinks from './0022-media-links.ts'
import * as ownerErasures from './0023-owner-erasures.ts'
import * as directUploads from './0024-direct-uploads.ts'
import * as visibility from './0025-visibility.ts'
import * as emptyDirectUploads from './0026-empty-direct-uploads.ts'
import * as directTurns from './0027-direct-turns.ts'
import * as linkProbes from './0028-link-probes.ts'
import type { Migration } from './migration.ts'

/**
 * Migrations that Kysely's migrator applies and records. Frozen: the first releases refuse to start when its table has
 * a migration that they do not know.
 */
export const firstMigrations: Readonly<Record<string, Migration>> = {
  '0001-ledger': ledger,
  '0002-purge': purge,
  '0003-s3': s3,
  '0004-protocols': protocols,
  '0005-processing': processing,
}

/** Later migrations by name, in order. Append only: a released migration is never edited. */
export const migrations: Readonly<Record<string, Migration>> = {
  '0006-fair-processing': fairProcessing,
  '0007-expiry': expiry,
  '0008-retention': retention,
  '0009-storage-places': storagePlaces,
  '0010-stray-copies': strayCopies,
  '0012-retention-of-ended': retentionOfEnded,
  '0013-concatenations': concatenations,
  '0014-told-events': toldEvents,
  '0015-streams': streams,
  '0016-documents': documents,
  '0017-tenants': tenants,
  '0018-descriptions': descriptions,
  '0019-media-lists': mediaLists,
  '0020-tickets': tickets,
  '0021-duplicates': duplicates,
  '0022-media-links': mediaLinks,
  '0023-owner-erasures': ownerErasures,
  '0024-direct-uploads': directUploads,
  '0025-visibility': visibility,
  '0026-empty-direct-uploads': emptyDirectUploads,
  '0027-direct-turns': directTurns,
  '0028-link-probes': linkProbes,
}
