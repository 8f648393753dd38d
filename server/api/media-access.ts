import type { Bus } from '../../ledger/bus.ts'
import type { Ledger } from '../../ledger/database.ts'
import type { EnqueueProcessing, EnqueueRemoval } from '../../ledger/due-work.ts'
import type { EndLog } from '../../ledger/end-log.ts'
import { type MediaId, type OwnerId, ownerOf } from '../../ledger/ids.ts'
import { findMedia, type MediaRow, type OwnMediaRow } from '../../ledger/media.ts'
import { findLinkedMedia } from '../../ledger/media-links.ts'
import type { Storage } from '../../storage/storage.ts'
import type { OpenDownloads } from '../admission/open-downloads.ts'
import type { OwnerTurns } from '../admission/owner-turns.ts'
import { tokenMissing } from '../auth/authenticate.ts'
import { type ContentLinks, linkRevoked } from '../auth/content-links.ts'
import type { AddressesOf } from '../http/addresses.ts'
import { authenticated } from '../http/deadlines.ts'
import { notFound, Problem } from '../http/errors.ts'
import type { Call } from '../routes/route.ts'
import { type BytesRequest, redirectToObject, type ServedObject, sendObject } from './content.ts'
import type { MediaViewOptions } from './views.ts'

/** What the routes of a media item's bytes need. */
export type BytesServices = {
  db: Ledger
  storage: Pick<Storage, 'objectsOf'>
  openDownloads: OpenDownloads
  /** For requests by a link, which have no owner. */
  turns: OwnerTurns
  /** Whether content is sent from here or by a redirect to the storage, where that has links. */
  downloads: 'stream' | 'redirect'
  links: ContentLinks
}

/** What the routes of media items need. */
export type MediaServices = BytesServices & {
  views: MediaViewOptions
  addressesOf: AddressesOf
  bus: Bus
  enqueueRemoval: EnqueueRemoval
  enqueueProcessing: EnqueueProcessing
  ends: EndLog
}

/** A request by a link, or with a token. */
export type BytesCall = Pick<Call, 'request' | 'response' | 'who' | 'link'> & { params: { id: MediaId } }

/** The media item of this owner. Fails with `not-found` for that of another one as well. */
export async function ownMedia(db: Ledger, ownerId: OwnerId, id: MediaId): Promise<OwnMediaRow> {
  const media = await findMedia(db, ownerId, id)
  if (!media) throw notFound()
  return media
}

/**
 * The media item of a link, or of the caller. A request by a link waits for the turn of the owner, known only now. Fails
 * with `not-found`, and with `token-invalid` for a link that is revoked.
 */
export async function linkedOrOwnMedia(
  { request, response, who, link, params }: BytesCall,
  { db, turns }: BytesServices,
): Promise<MediaRow> {
  if (who) return await ownMedia(db, who.ownerId, params.id)
  const found = await findLinkedMedia(db, params.id, link?.id)
  if (link?.isPublic) {
    // Whether there is a private one is told to nobody.
    if (found?.media.visibility !== 'public' || found.media.status !== 'ready') throw tokenMissing()
    authenticated(request)
  }
  if (!found) throw notFound()
  const { media, isRevoked } = found
  if (isRevoked) throw linkRevoked()
  // An application that has its own tenant is told of others what is told of things that do not exist.
  if (link?.key && ownerOf(media.owner_id).tenantId !== link.key.tenantId) throw notFound()
  await turns.enter(request, response, media.owner_id)
  return media
}

/** The same; fails unless it is ready. */
export const readyMedia = async (call: BytesCall, services: BytesServices): Promise<MediaRow> =>
  requireReady(await linkedOrOwnMedia(call, services))

/** Fails with `not-ready` while there is nothing to serve, and with 410 when there never will be. */
export function requireReady(media: MediaRow): MediaRow {
  if (media.status === 'ready') return media
  if (media.status === 'rejected') {
    throw new Problem('upload-rejected', media.reason?.detail ?? 'The file was rejected.', {
      members: { reason: media.reason },
    })
  }
  throw new Problem('not-ready', `The media item is ${media.status}.`, {
    members: { mediaStatus: media.status },
  })
}

/** Describes the file of a media item for `sendOrRedirect`. `tag` becomes the ETag. */
export function servedMedia(media: MediaRow, tag: string): ServedObject {
  const {
    storage_backend,
    owner_id: ownerId,
    storage_key: key,
    size,
    content_type: contentType,
    filename,
    etag,
  } = media
  return { storage_backend, ownerId, key, size, contentType, filename, tag, etag }
}

/** Sends an object, or redirects to it. */
export async function sendOrRedirect(
  call: BytesRequest,
  services: BytesServices,
  object: ServedObject,
): Promise<void> {
  const { storage, downloads } = services
  if (downloads === 'redirect' && (await redirectToObject(storage, call, object))) return
  await sendObject(services, call, object)
}
