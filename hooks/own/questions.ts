import type { AttachedTo } from '../../ledger/description.ts'
import type { mediaFacts } from '../../ledger/media-facts.ts'

/** An upload that a client wants to begin, as hooks are asked about it. */
export type PreCreateQuestion = {
  upload: {
    id: string
    /** Bytes; null where the client will declare it later, or partials are concatenated. */
    size: number | null
    filename: string | null
    /** As the client declares it. */
    contentType: string | null
    attachedTo: AttachedTo | null
    title: string | null
    description: string | null
    captions: string[] | null
    /** The application's own. */
    metadata: Record<string, string | null>
    /** Whether it is a part of another, by tus concatenation: that one is asked about as well. */
    isPartial: boolean
    /** How it comes, such as `tus-1.0`. */
    protocol: string
  }
  owner: { id: string; tenantId: string | null }
  /** The upload ticket that its client has in place of a token. */
  ticketId: string | null
  client: HookClient
}

/** Who asks, for a hook that decides by that. */
export type HookClient = { address: string | null; userAgent: string | null; origin: string | null }

/** A file that has passed all checks, as hooks and steps are asked about it. */
export type MediaQuestion = { media: ReturnType<typeof mediaFacts> }
