import type { Route } from '../routes/route.ts'
import { type AnalysisServices, analysisRoutes } from './analysis.ts'
import { type DevServices, devRoutes } from './dev.ts'
import { directCompanionRoutes } from './direct-companion.ts'
import { type DirectUploadsServices, directUploadsRoutes } from './direct-uploads.ts'
import { type EventsServices, eventsRoutes } from './events.ts'
import { type FilesServices, filesRoutes } from './files.ts'
import { type HealthServices, healthRoutes } from './health.ts'
import { hlsRoutes } from './hls.ts'
import { type InfoServices, infoRoutes } from './info.ts'
import { mediaRoutes } from './media.ts'
import type { MediaServices } from './media-access.ts'
import { mediaBatchRoutes } from './media-batch.ts'
import { mediaLinksRoutes } from './media-links.ts'
import { mediaListRoutes } from './media-list.ts'
import { mediaPatchRoutes } from './media-patch.ts'
import { restoreRoutes } from './media-restore.ts'
import { type MetricsServices, metricsRoutes } from './metrics.ts'
import { type DescriptionServices, descriptionRoutes } from './openapi.ts'
import { type OwnersServices, ownersRoutes } from './owners.ts'
import { renditionRoutes } from './renditions.ts'
import { type SimpleUploadServices, simpleUploadRoutes } from './simple-upload.ts'
import { type TicketsServices, ticketsRoutes } from './tickets.ts'
import { type UploadsServices, uploadsRoutes } from './uploads.ts'
import { type WebhooksServices, webhooksRoutes } from './webhooks.ts'

/** What the handlers of all routes need. */
export type Services = FilesServices &
  UploadsServices &
  EventsServices &
  MediaServices &
  SimpleUploadServices &
  DirectUploadsServices &
  AnalysisServices &
  TicketsServices &
  OwnersServices &
  WebhooksServices &
  InfoServices &
  HealthServices &
  MetricsServices &
  DescriptionServices &
  DevServices

/** Every route, by the heading of its table in docs/api.md. Uploads come first: they are asked for most. */
export const TABLES: Readonly<Record<string, readonly Route<Services>[]>> = {
  files: filesRoutes,
  status: [...uploadsRoutes, ...eventsRoutes],
  media: [
    ...mediaListRoutes,
    ...mediaBatchRoutes,
    ...mediaRoutes,
    ...simpleUploadRoutes,
    ...mediaPatchRoutes,
    ...restoreRoutes,
    ...renditionRoutes,
    ...hlsRoutes,
    ...analysisRoutes,
  ],
  links: mediaLinksRoutes,
  direct: [...directUploadsRoutes, ...directCompanionRoutes],
  tickets: ticketsRoutes,
  owners: ownersRoutes,
  webhooks: webhooksRoutes,
  information: infoRoutes,
  operation: [...healthRoutes, ...metricsRoutes, ...descriptionRoutes, ...devRoutes],
}

/** A route that is not in here cannot be served. */
export const ROUTES: readonly Route<Services>[] = Object.values(TABLES).flat()
