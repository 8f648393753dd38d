import { z } from 'zod'
import { DescriptionPatch, metadataPatchFault } from '../described-patch.ts'

// What the hooks of an application answer, by HTTP or from a module. Strict: a member that nobody reads is a mistake, and
// its author wants to hear of it.

const Text = z.string().max(4096)
const Count = z.number().int().nonnegative()

const Refuse = z.strictObject({
  status: z.number().int().min(400).max(499).default(403),
  message: z.string().min(1).max(1000),
})

export const PreCreateAnswer = z.strictObject({
  /** The upload is not created: its client gets this status and message. */
  refuse: Refuse.optional(),
  filename: Text.min(1).optional(),
  /** Beside the metadata of the client, in place of its keys of the same name. Null removes one. */
  metadata: z.record(z.string(), Text.nullable()).optional(),
  /** Null: to nothing. */
  attachedTo: z.strictObject({ type: z.string(), id: z.string() }).nullish(),
  title: Text.nullish(),
  description: Text.nullish(),
  captions: z.array(z.string()).nullish(),
  /** Of this upload, where they are narrower than those of the server and of its ticket. */
  limits: z
    .strictObject({ maxSize: Count.optional(), allowedTypes: z.array(z.string()).min(1).max(100).optional() })
    .optional(),
  /** Of the owner, from now on; null for the default of the server. */
  quota: z.strictObject({ bytes: Count.nullish(), uploads: Count.nullish() }).optional(),
})

/** What a hook decides about a new upload. Empty: it is accepted as it is. */
export type PreCreateDecision = z.output<typeof PreCreateAnswer>

/** What a hook or a step decides about a file before it is published. */
export const MediaAnswer = z
  .strictObject({
    /** The file is rejected, with this message. */
    refuse: z.strictObject({ message: Refuse.shape.message }).optional(),
    ...DescriptionPatch.shape,
  })
  .superRefine(({ metadata }, context) => {
    const fault = metadata && metadataPatchFault(metadata)
    if (fault) context.addIssue({ code: 'custom', message: fault, path: ['metadata'] })
  })

export type MediaDecision = z.output<typeof MediaAnswer>

// What modules return.
export type PreCreateAnswerInput = z.input<typeof PreCreateAnswer>
export type MediaAnswerInput = z.input<typeof MediaAnswer>
