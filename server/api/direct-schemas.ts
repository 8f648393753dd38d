import { z } from 'zod'
import { Bytes, described, Time } from './schema-parts.ts'
import { Described } from './schemas.ts'

// Of direct uploads, in our form and in that of @uppy/aws-s3.

export const NewDirectUpload = z
  .strictObject({
    size: Bytes.describe('bytes'),
    filename: z.string().max(4096).optional(),
    contentType: z.string().max(4096).optional(),
    ...Described.shape,
  })
  .meta({ id: 'NewDirectUpload' })

export const DirectUpload = z
  .object({
    id: z.string(),
    state: z.enum(['open', 'received', 'terminated', 'expired', 'rejected']),
    filename: z.string().nullable(),
    size: Bytes.nullable().describe('null where its client has not declared it'),
    partSize: Bytes.nullable().describe('bytes of all parts but the last; null where its client decides'),
    partCount: z.number().int().positive().nullable(),
    mediaId: z.string().nullable().describe('once it is complete'),
    ...described,
    captions: z.array(z.string()).nullable().describe('languages, as the application says'),
    createdAt: Time,
    expiresAt: Time.nullable().describe('null when it has ended'),
  })
  .meta({ id: 'DirectUpload' })

const PartNumber = z.number().int().min(1).max(10_000)

export const WantedParts = z
  .strictObject({ partNumbers: z.array(PartNumber).min(1).max(100) })
  .meta({ id: 'WantedParts' })

export const SentParts = z
  .object({
    parts: z.array(
      z.object({
        partNumber: PartNumber,
        size: Bytes.nullable().describe('bytes that the bucket takes; null where its client decides'),
        method: z.literal('PUT'),
        url: z.string(),
      }),
    ),
    expiresAt: Time,
  })
  .meta({ id: 'SentParts' })

export const DirectParts = z
  .object({ items: z.array(z.object({ partNumber: PartNumber, size: Bytes, etag: z.string() })) })
  .meta({ id: 'DirectParts' })

// What @uppy/aws-s3 sends and expects.

const Loose = z.string().max(4096)

export const CompanionUpload = z
  .object({
    filename: Loose.optional(),
    type: Loose.optional(),
    metadata: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])).optional(),
  })
  .meta({ id: 'CompanionUpload' })

export const CompanionKey = z.object({ key: z.string().optional() })

export const CompanionBatch = CompanionKey.extend({
  partNumbers: z
    .string()
    .regex(/^(?:[1-9]\d{0,3}|10000)(?:,(?:[1-9]\d{0,3}|10000)){0,99}$/)
    .optional()
    .describe('separated by commas'),
})

export const CompanionForm = z.object({ filename: Loose.optional(), type: Loose.optional() })

export const CompanionCreated = z
  .object({ key: z.string(), uploadId: z.string() })
  .meta({ id: 'CompanionCreated' })

export const CompanionPartList = z
  .array(z.object({ PartNumber, Size: Bytes, ETag: z.string() }))
  .meta({ id: 'CompanionPartList' })

export const CompanionParts = z
  .object({
    parts: z
      .array(z.object({ PartNumber, ETag: z.string().min(1).max(200) }))
      .min(1)
      .max(10_000),
  })
  .meta({ id: 'CompanionParts' })

export const CompanionLink = z
  .object({ url: z.string(), expires: z.number().int().describe('seconds') })
  .meta({ id: 'CompanionLink' })

export const CompanionLinks = z
  .object({ presignedUrls: z.record(z.string(), z.string()) })
  .meta({ id: 'CompanionLinks' })

export const CompanionPost = z
  .object({
    method: z.literal('POST'),
    url: z.string(),
    fields: z.record(z.string(), z.string()),
    expires: z.number().int().describe('seconds'),
    uploadId: z.string(),
  })
  .meta({ id: 'CompanionPost' })

export const CompanionCompleted = z
  .object({
    location: z.string().describe('of the media item'),
    key: z.string(),
    mediaId: z.string(),
    uploadId: z.string(),
  })
  .meta({ id: 'CompanionCompleted' })
