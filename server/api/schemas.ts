import { z } from 'zod'
import { Bytes, described, Time } from './schema-parts.ts'

// Schemas of the API's responses: views are typed by them, and the OpenAPI document is generated from them.

const Kind = z.enum(['video', 'image', 'audio', 'document', 'file'])

export const Reason = z.object({ code: z.string(), detail: z.string() }).meta({ id: 'Reason' })

const progress = {
  offset: Bytes,
  size: Bytes.nullable().describe('null while the length is deferred'),
  percent: z.number().min(0).max(100).nullable(),
  bytesPerSecond: z.number().nonnegative().nullable(),
  etaSeconds: z.number().nonnegative().nullable(),
}

export const Whole = z
  .object({
    key: z.string().nullable().describe('`whole` in the metadata of its partial uploads'),
    finalId: z.string().nullable().describe('the final upload, once there is one'),
    ...progress,
  })
  .meta({ id: 'Whole' })

export const Upload = z
  .object({
    id: z.string(),
    state: z.enum(['open', 'received', 'terminated', 'expired', 'rejected']),
    filename: z.string().nullable(),
    ...progress,
    reservedBytes: Bytes.describe('of the quota; 0 when it is no longer open'),
    isPartial: z.boolean(),
    isDirect: z.boolean().describe('its bytes go to the bucket: none are taken at `/files`'),
    whole: Whole.nullable().describe('the file that a partial upload is for; null where it is not known'),
    mediaId: z.string().nullable(),
    reason: Reason.nullable(),
    ...described,
    captions: z.array(z.string()).nullable().describe('languages, as the application says'),
    createdAt: Time,
    expiresAt: Time.nullable().describe('null when it has ended'),
  })
  .meta({ id: 'Upload' })

export const UploadList = z
  .object({ items: z.array(Upload), nextCursor: z.string().nullable() })
  .meta({ id: 'UploadList' })

export const Analysis = z
  .object({
    id: z.string().nullable().describe("the engine's own; null until it has answered"),
    status: z.enum(['requested', 'pending', 'finished', 'failed']),
    result: z.unknown().describe('whatever the engine says'),
    confidence: z.number().min(0).max(1).nullable(),
    verdict: z.enum(['accept', 'reject']).nullable(),
    estimatedSeconds: z.number().nonnegative().nullable(),
    url: z.string().nullable().describe('where people see the result'),
    requestedAt: Time,
    finishedAt: Time.nullable(),
  })
  .meta({ id: 'Analysis' })

export const Media = z
  .object({
    id: z.string(),
    uploadId: z.string(),
    ownerId: z.string(),
    tenantId: z.string().nullable().describe('of the owner; null without one'),
    filename: z.string().nullable(),
    contentType: z.string().nullable().describe('as identified by its content'),
    kind: Kind.nullable(),
    size: Bytes,
    sha256: z.string().nullable(),
    status: z.enum(['processing', 'ready', 'rejected', 'failed', 'deleted']),
    reason: Reason.nullable(),
    durationSeconds: z.number().nonnegative().nullable(),
    width: z.number().int().nullable().describe('pixels, as shown'),
    height: z.number().int().nullable().describe('pixels, as shown'),
    codedWidth: z.number().int().nullable().describe('pixels, as stored'),
    codedHeight: z.number().int().nullable().describe('pixels, as stored'),
    fps: z.number().nullable(),
    videoCodec: z.string().nullable(),
    audioCodec: z.string().nullable(),
    hasAudio: z.boolean().nullable(),
    bitrate: z.number().int().nullable().describe('bits per second'),
    quality: z.string().nullable(),
    rotation: z.number().int().nullable().describe('degrees clockwise by which the stored picture is turned'),
    isHdr: z.boolean().nullable(),
    videoStreams: z.number().int().nonnegative().nullable(),
    audioStreams: z.number().int().nonnegative().nullable(),
    captions: z
      .array(z.string())
      .nullable()
      .describe('languages as the application says, else those of the subtitles in the file'),
    renditions: z
      .enum(['unsupported-codec'])
      .nullable()
      .describe('why renditions of the picture were not made; else null'),
    scanStatus: z.enum(['clean', 'unscanned', 'off']).nullable(),
    duplicateOf: z
      .string()
      .nullable()
      .describe(
        'the media item of the same owner with the same bytes, by `DEDUP`; null: none, or nobody looked',
      ),
    visibility: z
      .enum(['private', 'public'])
      .describe('`public`: its content needs no token and no link, where the operator allows that'),
    thumbhash: z.string().nullable().describe('base64; drawn until the thumbnail is there'),
    thumbnailUrl: z.string().nullable().describe('works without a token, for one to two hours'),
    storyboardUrl: z.string().nullable().describe('WebVTT; works without a token, for one to two hours'),
    waveformUrl: z.string().nullable().describe('works without a token, for one to two hours'),
    hlsUrl: z.string().nullable().describe('HLS playlist; works without a token, for one to two hours'),
    contentUrl: z.string().nullable().describe('works without a token, for one to two hours'),
    cdnUrl: z.string().nullable().describe('of the public copy; null without a CDN or a copy'),
    ...described,
    analysis: Analysis.nullable(),
    createdAt: Time,
    readyAt: Time.nullable(),
    deletedAt: Time.nullable(),
  })
  .meta({ id: 'Media' })

export const UploadedMedia = Media.extend({
  estimatedSeconds: z
    .number()
    .nonnegative()
    .nullable()
    .describe("until it is ready, by the owner's last files; null where there are none"),
  storageKey: z.string().optional().describe('for tokens with the scope `service`'),
}).meta({ id: 'UploadedMedia' })

export const SimpleUploadQuery = z.object({
  filename: z.string().max(4096).optional().describe('of a body that is no form'),
})

export const MediaList = z
  .object({ items: z.array(Media), nextCursor: z.string().nullable() })
  .meta({ id: 'MediaList' })

export const Formats = z
  .object({
    types: z.array(
      z.object({
        contentType: z.string(),
        extensions: z.array(z.string()),
        kind: Kind,
      }),
    ),
    others: z
      .array(z.string())
      .describe('other media types that are accepted, such as `text/*`; `*/*` is any file'),
    minSize: Bytes,
    maxSize: Bytes,
    maxDurationSeconds: z.number(),
    minWidth: z.number().int(),
    minHeight: z.number().int(),
    maxWidth: z.number().int(),
    maxHeight: z.number().int(),
    maxImagePixels: z.number().int().describe('of an image; the other sizes are those of a video'),
  })
  .meta({ id: 'Formats' })

export const Quota = z
  .object({
    bytes: z.object({
      limit: Bytes.nullable(),
      used: Bytes,
      reserved: Bytes,
      reservedByPartials: Bytes.describe('the part of `reserved` that is of partial uploads'),
    }),
    uploads: z.object({
      limit: z.number().int().nullable(),
      finished: z.number().int(),
      open: z.number().int(),
      maxOpen: z.number().int(),
      partials: z.number().int(),
    }),
  })
  .meta({ id: 'Quota' })

const Check = z.object({ status: z.enum(['ok', 'failing', 'off']), detail: z.string().optional() })

export const Readiness = z
  .object({
    status: z
      .enum(['ready', 'degraded', 'not-ready', 'draining'])
      .describe(
        '`degraded`: a shared dependency is unavailable, or a disk is nearly full; this server still accepts requests',
      ),
    checks: z.object({
      database: Check.describe('of this server'),
      bus: Check.describe('whether this server receives notifications from the others'),
      eventLoop: Check.describe('of this server'),
      storage: Check.describe('of all servers'),
      disk: Check.describe('whether there is room on the disks that this server writes to'),
      scanner: Check.extend({
        signatures: z
          .object({ version: z.number().int(), publishedAt: Time, ageDays: z.number().nonnegative() })
          .optional()
          .describe("the scanner's official database, where it has one"),
      }),
    }),
    warnings: z.array(z.string()),
  })
  .meta({ id: 'Readiness' })

export const StreamTicket = z
  .object({ ticket: z.string().describe('for `?ticket=` on streams'), expiresAt: Time })
  .meta({ id: 'StreamTicket' })

const Attachment = z.object({ type: z.string(), id: z.string() })
const CustomMetadata = z.record(z.string(), z.string().nullable())
const DAY_SECONDS = 86_400

export const Ticket = z
  .object({
    id: z.string(),
    ownerId: z.string(),
    tenantId: z.string().nullable(),
    state: z.enum(['open', 'used', 'expired', 'revoked']).describe('`open`: an upload can be begun with it'),
    maxSize: Bytes.nullable(),
    allowedTypes: z.array(z.string()).nullable(),
    attachedTo: Attachment.nullable(),
    title: z.string().nullable(),
    description: z.string().nullable(),
    captions: z.array(z.string()).nullable(),
    metadata: CustomMetadata,
    count: z.number().int().positive().describe('uploads that it permits'),
    used: z.number().int().nonnegative().describe('uploads that were begun with it'),
    beginBefore: Time,
    uploadWithinSeconds: z.number().int().positive().nullable(),
    createdAt: Time,
    revokedAt: Time.nullable(),
  })
  .meta({ id: 'Ticket' })

export const IssuedTicket = Ticket.extend({
  token: z.string().describe('the bearer token of its client; told only once'),
}).meta({ id: 'IssuedTicket' })

export const TicketList = z
  .object({ items: z.array(Ticket), nextCursor: z.string().nullable() })
  .meta({ id: 'TicketList' })

export const TicketListQuery = z.object({
  limit: z.coerce.number().int().min(1).max(100).default(24),
  cursor: z.string().max(200).optional(),
})

/** What a body says of a file. */
export const Described = z.object({
  attachedTo: Attachment.nullable().optional(),
  title: z.string().optional(),
  description: z.string().optional(),
  captions: z.array(z.string()).optional(),
  metadata: CustomMetadata.default({}),
})

export const NewTicket = z
  .strictObject({
    owner: z.string().optional().describe('for whom; the owner of the token by default'),
    tenant: z.string().optional().describe('of that owner; for an admin without a tenant'),
    maxSize: Bytes.nullable().default(null).describe('bytes'),
    allowedTypes: z
      .array(z.string().min(1).max(127))
      .min(1)
      .max(100)
      .nullable()
      .default(null)
      .describe('such as `video/*`'),
    ...Described.shape,
    count: z.number().int().min(1).max(1000).default(1),
    beginWithinSeconds: z
      .number()
      .int()
      .min(1)
      .max(30 * DAY_SECONDS)
      .default(3600),
    uploadWithinSeconds: z
      .number()
      .int()
      .min(1)
      .max(30 * DAY_SECONDS)
      .nullable()
      .default(null)
      .describe('since its creation; the limit of the server by default'),
  })
  .meta({ id: 'NewTicket' })

/** As `LINK_KINDS` has them. */
const Kinds = z.enum(['content', 'thumbnail', 'storyboard', 'waveform', 'hls'])
const Disposition = z.enum(['inline', 'attachment'])
const MAX_LINK_SECONDS = 30 * DAY_SECONDS

export const NewMediaLink = z
  .strictObject({
    ttlSeconds: z
      .number()
      .int()
      .min(1)
      .max(MAX_LINK_SECONDS, { error: `takes at most ${MAX_LINK_SECONDS} seconds, which are 30 days` })
      .default(DAY_SECONDS),
    kinds: z
      .array(Kinds)
      .min(1)
      .max(20)
      .optional()
      .describe('what it opens; all that the media item has by default'),
    disposition: Disposition.nullable()
      .default(null)
      .describe('of the content and the thumbnail; null: as they are served without it'),
    filename: z.string().min(1).max(4096).nullable().default(null).describe('under which they are saved'),
  })
  .meta({ id: 'NewMediaLink' })

export const MediaLink = z
  .object({
    id: z.string(),
    mediaId: z.string(),
    kinds: z.array(Kinds),
    disposition: Disposition.nullable(),
    filename: z.string().nullable(),
    createdAt: Time,
    expiresAt: Time,
    urls: z
      .object({
        content: z.string(),
        thumbnail: z.string(),
        storyboard: z.string().describe('WebVTT'),
        waveform: z.string(),
        hls: z.string().describe('HLS playlist'),
      })
      .partial()
      .describe('for each of its kinds'),
  })
  .meta({ id: 'MediaLink' })

export const MediaLinkList = z.object({ items: z.array(MediaLink) }).meta({ id: 'MediaLinkList' })

const Count = z.number().int().nonnegative()

export const OwnerErasure = z
  .object({
    id: z.string(),
    ownerId: z.string(),
    tenantId: z.string().nullable(),
    state: z.enum(['running', 'done']),
    startedAt: Time.describe('what began later is not erased'),
    finishedAt: Time.nullable(),
    counts: z
      .object({
        uploadsEnded: Count.describe('open uploads that were terminated'),
        mediaPurged: Count.describe('media items whose bytes were given up'),
        bytes: Bytes.describe('of both'),
        objects: Count.describe('in the storage, of both and of renditions'),
        uploads: Count.describe('records of uploads, also of those that had ended before'),
        media: Count.describe('records of media items'),
        tickets: Count.describe('upload tickets'),
        events: Count,
        deliveries: Count.describe('of webhooks'),
        deliveriesDropped: Count.describe('those of them that were not told yet'),
      })
      .describe('removed so far'),
    left: Count.describe('uploads of which there still is anything'),
    waitsFor: z
      .object({
        requests: Count.describe('that still write to them'),
        storage: Count.describe('bytes that could not be removed yet'),
        lateCalls: Count.describe('calls to the bucket that may still arrive'),
        webhooks: Count.describe('endpoints that are to be told first'),
      })
      .describe('uploads, by what the erasure waits for'),
    kept: z
      .array(z.object({ what: z.string(), detail: z.string() }))
      .describe('what is not removed, and why'),
  })
  .meta({ id: 'OwnerErasure' })

export const TokenRequest = z.object({
  sub: z.string().min(1).max(255),
  tenant: z.string().min(1).max(255).optional(),
  scope: z.string().max(1000).optional(),
})

const Delivered = z.enum(['pending', 'delivered', 'failed'])

export const WebhookDelivery = z
  .object({
    id: z.string().describe('the webhook-id, the same in every attempt'),
    type: z.string(),
    uploadId: z.string(),
    mediaId: z.string().nullable(),
    ownerId: z.string(),
    tenantId: z.string().nullable().describe('of the owner; null without one'),
    status: Delivered,
    attemptCount: z.number().int().nonnegative(),
    nextAttemptAt: Time.nullable().describe('null when it has ended'),
    lastStatus: z.number().int().nullable().describe('null where no answer came'),
    lastError: z.string().nullable(),
    createdAt: Time,
    deliveredAt: Time.nullable(),
  })
  .meta({ id: 'WebhookDelivery' })

export const WebhookDeliveryList = z
  .object({ items: z.array(WebhookDelivery), nextCursor: z.string().nullable() })
  .meta({ id: 'WebhookDeliveryList' })

export const WebhookDeliveryWithAttempts = WebhookDelivery.extend({
  attempts: z.array(
    z.object({
      attempt: z.number().int().positive(),
      at: Time.describe('when it ended'),
      status: z.number().int().nullable().describe('null where no answer came'),
      error: z.string().nullable(),
      durationMs: z.number().int().nonnegative(),
    }),
  ),
}).meta({ id: 'WebhookDeliveryWithAttempts' })

export const WebhookDeliveryListQuery = z.object({
  limit: z.coerce.number().int().min(1).max(100).default(24),
  cursor: z.string().max(200).optional(),
  status: Delivered.optional(),
})

export const StreamQuery = z.object({
  lastEventId: z.string().optional().describe('as the header Last-Event-ID, which goes first'),
  ticket: z.string().optional().describe('instead of a token'),
})

export const UploadListQuery = z.object({
  state: z.literal('open', { error: 'takes "open"' }).default('open'),
  partial: z
    .enum(['true', 'false'], { error: 'takes "true" or "false"' })
    .default('false')
    .describe('`true`: partial uploads alone; `false`: all others'),
  limit: z.coerce.number().int().min(1).max(100).default(100),
  cursor: z.string().max(200).optional(),
})

export const ThumbnailQuery = z.object({
  width: z.coerce.number().int().min(1).max(65_535).optional(),
  format: z.enum(['webp', 'jpeg']).optional(),
})

export const MediaDeleteQuery = z.object({
  purge: z
    .enum(['true', 'false'], { error: 'takes "true" or "false"' })
    .default('false')
    .describe('`true`: everything of it is removed now, and it cannot be restored'),
})

const SORTS = ['createdAt', 'name', 'size', 'duration'] as const

/** Text that Postgres can compare. */
const FilterText = z
  .string()
  .min(1)
  .max(255)
  .refine((text) => text.isWellFormed() && !text.includes('\0'), { error: 'has characters that no text has' })

export const MediaListQuery = z.object({
  limit: z.coerce.number().int().min(1).max(100).default(24),
  cursor: z
    .string()
    .max(2000)
    .optional()
    .describe('`nextCursor` of the page before, with the same sort and filters'),
  page: z.coerce.number().int().min(1).max(10_000).optional().describe('from 1, instead of a cursor'),
  sort: z
    .enum(
      SORTS.flatMap((key) => [key, `-${key}`] as const),
      { error: `takes one of ${SORTS.join(', ')}, with - in front for descending` },
    )
    .default('-createdAt'),
  kind: Kind.optional(),
  status: z.enum(['processing', 'ready', 'rejected', 'failed', 'deleted']).optional(),
  attachedType: FilterText.optional(),
  attachedId: FilterText.optional(),
  name: FilterText.max(100).optional().describe('text anywhere in the file name, upper or lower case'),
  createdAfter: z.iso.datetime({ offset: true }).optional().describe('at this time, or later'),
  createdBefore: z.iso.datetime({ offset: true }).optional(),
  sha256: z
    .string()
    .regex(/^[0-9a-fA-F]{64}$/, { error: 'takes 64 hexadecimal digits' })
    .optional(),
})
