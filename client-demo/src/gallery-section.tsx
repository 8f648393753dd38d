import type { Media, MediaKind } from './contract.ts'
import { GalleryCard } from './gallery-card.tsx'
import { Icon } from './icon.tsx'
import type { Gallery } from './use-gallery.ts'

interface Props {
  readonly gallery: Gallery
  readonly onOpen: (media: Media) => void
}

const filters: readonly { readonly kind: MediaKind | null; readonly label: string }[] = [
  { kind: null, label: 'All' },
  { kind: 'video', label: 'Videos' },
  { kind: 'image', label: 'Images' },
  { kind: 'audio', label: 'Audio' },
]

export function GallerySection({ gallery, onOpen }: Props) {
  const { items, loading, error, kind } = gallery
  return (
    <section className="panel" aria-labelledby="library">
      <header className="panel-head">
        <h2 id="library">Library</h2>
        <fieldset className="filters">
          <legend className="visually-hidden">Show</legend>
          {filters.map((filter) => (
            <button
              key={filter.label}
              type="button"
              aria-pressed={kind === filter.kind}
              onClick={() => gallery.choose(filter.kind)}
            >
              {filter.label}
            </button>
          ))}
        </fieldset>
      </header>
      {items.length > 0 && (
        <ul className="grid">
          {items.map((media) => (
            <GalleryCard key={media.id} media={media} onOpen={onOpen} onStale={gallery.refresh} />
          ))}
        </ul>
      )}
      {loading && items.length === 0 && <Skeleton />}
      {!loading && error === null && items.length === 0 && <Empty filtered={kind !== null} />}
      {error !== null && (
        <p className="inline-error" role="alert">
          {error}
          <button type="button" className="small" onClick={gallery.reload}>
            Try again
          </button>
        </p>
      )}
      {gallery.hasMore && error === null && (
        <p className="more">
          <button type="button" disabled={loading} onClick={gallery.loadMore}>
            {loading ? 'Loading…' : 'Show more'}
          </button>
        </p>
      )}
    </section>
  )
}

function Skeleton() {
  return (
    <ul className="grid" aria-label="Loading">
      {['a', 'b', 'c', 'd'].map((key) => (
        <li key={key} className="card skeleton" />
      ))}
    </ul>
  )
}

function Empty({ filtered }: { readonly filtered: boolean }) {
  return (
    <div className="empty">
      <Icon name="image" />
      <p>
        {filtered
          ? 'Nothing of this kind yet.'
          : 'Nothing here yet. What you upload appears here as soon as it is ready.'}
      </p>
    </div>
  )
}
