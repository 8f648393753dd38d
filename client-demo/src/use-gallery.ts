import { useCallback, useEffect, useRef, useState } from 'react'
import type { Api } from './api.ts'
import type { Media, MediaKind } from './contract.ts'
import type { MediaWatch } from './media-watch.ts'
import { messageOf } from './problem.ts'

export interface Gallery {
  /** Newest first. */
  readonly items: readonly Media[]
  readonly loading: boolean
  readonly error: string | null
  readonly hasMore: boolean
  readonly kind: MediaKind | null
  choose(kind: MediaKind | null): void
  loadMore(): void
  reload(): void
  /** Adds a media, or replaces what is shown of it; a deleted one goes. */
  show(media: Media): void
  /** Asks again for one media: its signed links end. */
  refresh(id: string): void
}

/** What one kind's list has loaded so far. */
interface Loaded {
  readonly items: readonly Media[]
  readonly nextCursor: string | null
}

const empty: Loaded = { items: [], nextCursor: null }

export function useGallery(api: Api): Gallery {
  const [kind, setKind] = useState<MediaKind | null>(null)
  const [loaded, setLoaded] = useState<Loaded>(empty)
  const [loading, setLoading] = useState(true)
  const [error, setError] = useState<string | null>(null)
  /** Answers to an earlier question than the last are not shown. */
  const question = useRef(0)

  const load = useCallback(
    (cursor: string | null) => {
      const asked = ++question.current
      setLoading(true)
      setError(null)
      api
        .mediaPage({ ...(kind !== null && { kind }), ...(cursor !== null && { cursor }) })
        .then(
          (page) => {
            if (asked !== question.current) return
            const fresh = page.items.filter((media) => media.status !== 'deleted')
            setLoaded((before) => ({
              // Keeps what came up during the load.
              items: merge(before.items, fresh),
              nextCursor: page.nextCursor,
            }))
          },
          (reason: unknown) => asked === question.current && setError(messageOf(reason)),
        )
        .finally(() => asked === question.current && setLoading(false))
    },
    [api, kind],
  )

  useEffect(() => load(null), [load])

  const show = useCallback(
    (media: Media) =>
      setLoaded((before) => {
        const others = before.items.filter((item) => item.id !== media.id)
        const fits = media.status !== 'deleted' && (kind === null || media.kind === kind)
        return { ...before, items: fits ? merge(before.items, [media]) : others }
      }),
    [kind],
  )

  const refresh = useCallback(
    // A picture that cannot be refreshed just stays missing.
    (id: string) => void api.media(id).then(show, () => {}),
    [api, show],
  )

  return {
    items: loaded.items,
    loading,
    error,
    hasMore: loaded.nextCursor !== null,
    kind,
    choose(next) {
      if (next === kind) return
      setLoaded(empty)
      setKind(next)
    },
    loadMore: () => load(loaded.nextCursor),
    reload: () => load(null),
    show,
    refresh,
  }
}

/** The later word on a media counts, but no late answer turns a finished one back into `processing`. */
function merge(shown: readonly Media[], added: readonly Media[]): readonly Media[] {
  const byId = new Map(shown.map((media) => [media.id, media]))
  for (const media of added) {
    if (media.status !== 'processing' || !byId.has(media.id)) byId.set(media.id, media)
  }
  return [...byId.values()].sort((a, b) => b.createdAt.localeCompare(a.createdAt))
}

/**
 * Follows every shown media that is still being processed, except those whose upload this page follows already:
 * after a reload they come to their end before the person's eyes.
 */
export function useProcessingWatch(
  watch: MediaWatch,
  items: readonly Media[],
  followedElsewhere: ReadonlySet<string>,
  onMedia: (media: Media) => void,
): void {
  const running = useRef(new Map<string, AbortController>())
  const latest = useRef(onMedia)

  useEffect(() => {
    latest.current = onMedia
    const wanted = new Set(
      items
        .filter((m) => m.status === 'processing' && !followedElsewhere.has(m.uploadId))
        .map((m) => m.uploadId),
    )
    for (const [uploadId, abort] of running.current) {
      if (wanted.has(uploadId)) continue
      abort.abort()
      running.current.delete(uploadId)
    }
    for (const uploadId of wanted) {
      if (running.current.has(uploadId)) continue
      const abort = new AbortController()
      running.current.set(uploadId, abort)
      watch
        .outcome(uploadId, () => {}, abort.signal)
        .then(
          (outcome) => outcome.kind === 'media' && latest.current(outcome.media),
          (error: unknown) => {
            if (!abort.signal.aborted) throw error
          },
        )
    }
  })

  useEffect(() => {
    const all = running.current
    return () => {
      for (const abort of all.values()) abort.abort()
      all.clear()
    }
  }, [])
}

/** Asks again for a shown video when it can be streamed; listens only while there is one that cannot. */
export function useStreamableWatch(
  watch: MediaWatch,
  items: readonly Media[],
  refresh: (id: string) => void,
): void {
  const waiting = items.filter((m) => m.kind === 'video' && m.status === 'ready' && m.hlsUrl === null)
  const isWaiting = waiting.length > 0
  const latest = useRef(waiting)
  useEffect(() => {
    latest.current = waiting
  })
  useEffect(() => {
    if (!isWaiting) return
    return watch.onStreamable((id) => {
      if (latest.current.some((media) => media.id === id)) refresh(id)
    })
  }, [watch, isWaiting, refresh])
}
