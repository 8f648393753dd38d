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
  /** Lets a request in that has a link to this target, or a token. */
  linkOrToken: (target: LinkTarget) => RequestHandler<{ id: string }>
  /** The media asked for. Fails unless it is ready, and where the caller may not see it. */
  readyMedia: (request: Request<{ id: string }>, response: Response) => Promise<MediaRow>
  /** Sends an object, or the client to where it is. */
  send: (request: Request, response: Response, object: ServedObject) => Promise<void>
}
