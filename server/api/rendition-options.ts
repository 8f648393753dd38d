import type { Request, RequestHandler, Response } from 'express'
import type { Ledger } from '../../ledger/database.ts'
import type { MediaRow } from '../../ledger/media.ts'
import type { Storage } from '../../storage/storage.ts'
import type { OpenDownloads } from '../admission/open-downloads.ts'
import type { ContentLinks, LinkTarget } from '../auth/content-links.ts'
import type { ServedObject } from './content.ts'

export type RenditionRouteOptions = {
  db: Ledger
  storage: Pick<Storage, 'objectsOf'>
  openDownloads: OpenDownloads
  links: ContentLinks
  /** Accepts a link to this target, or a token. */
  linkOrToken: (target: LinkTarget) => RequestHandler<{ id: string }>
  /** The requested media item. Fails unless it is ready and the caller may see it. */
  readyMedia: (request: Request<{ id: string }>, response: Response) => Promise<MediaRow>
  /** Sends an object, or redirects to it. */
  send: (request: Request, response: Response, object: ServedObject) => Promise<void>
}
