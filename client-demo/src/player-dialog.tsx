import { useEffect, useRef, useState } from 'react'
import type { Media } from './contract.ts'
import { Icon } from './icon.tsx'
import { factsOf } from './media-facts.ts'
import { inPlainWords } from './problem.ts'
import { VideoPlayer } from './video-player.tsx'

interface Props {
  readonly media: Media
  readonly onClose: () => void
  readonly onDelete: (media: Media) => Promise<void>
}

export function PlayerDialog({ media, onClose, onDelete }: Props) {
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => dialog.current?.showModal(), [])

  return (
    // A click on the backdrop closes; Escape and the button do the same for the keyboard.
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape is built into the element
    <dialog
      ref={dialog}
      className="player"
      aria-labelledby="player-title"
      onClose={onClose}
      onClick={(event) => event.target === dialog.current && dialog.current.close()}
    >
      <div className="player-frame">
        <Stage media={media} />
        <div className="player-side">
          <header>
            <h2 id="player-title" className="name">
              {media.filename}
            </h2>
            <button
              type="button"
              className="icon-button"
              aria-label="Close"
              title="Close"
              onClick={() => dialog.current?.close()}
            >
              <Icon name="close" />
            </button>
          </header>
          {media.reason !== null && (
            <p className="inline-error">
              {inPlainWords(media.reason)} <code>{media.reason.code}</code>
            </p>
          )}
          <dl>
            {factsOf(media).map(({ name, value, mono }) => (
              <div key={name}>
                <dt>{name}</dt>
                <dd className={mono ? 'mono' : undefined}>{value}</dd>
              </div>
            ))}
          </dl>
          {canBeDeleted(media) && <Actions media={media} onDelete={onDelete} />}
        </div>
      </div>
    </dialog>
  )
}

/** Whatever processing has ended for: a rejected or failed file is kept as a record until then. */
function canBeDeleted({ status }: Media): boolean {
  return status === 'ready' || status === 'rejected' || status === 'failed'
}

function Stage({ media }: Pick<Props, 'media'>) {
  const [unplayable, setUnplayable] = useState<string | null>(null)
  const { contentUrl, kind } = media
  if (contentUrl === null) {
    return (
      <div className="stage">
        <Icon name={kind ?? 'file'} />
        <p>
          {media.status === 'processing'
            ? 'Still being processed. It will be here in a moment.'
            : 'Nothing to show.'}
        </p>
      </div>
    )
  }
  if (kind === 'document' || kind === 'file') {
    return (
      <div className="stage">
        <Icon name={kind} />
        <p>This file is not shown here. You can download it.</p>
      </div>
    )
  }
  if (unplayable === contentUrl) {
    return (
      <div className="stage">
        <Icon name={kind ?? 'file'} />
        <p>Your browser cannot show this format. You can download it instead.</p>
      </div>
    )
  }
  const failed = () => setUnplayable(contentUrl)
  return (
    <div className="stage">
      {kind === 'image' && (
        <img src={contentUrl} alt={media.filename} data-testid="player" onError={failed} />
      )}
      {kind === 'audio' && (
        // biome-ignore lint/a11y/useMediaCaption: people's own files come without captions
        <audio src={contentUrl} controls preload="metadata" data-testid="player" onError={failed} />
      )}
      {kind !== 'image' && kind !== 'audio' && (
        <VideoPlayer media={media} src={contentUrl} onUnplayable={failed} />
      )}
    </div>
  )
}

function Actions({ media, onDelete }: Pick<Props, 'media' | 'onDelete'>) {
  const [asking, setAsking] = useState(false)
  const [deleting, setDeleting] = useState(false)
  if (asking) {
    return (
      <div className="actions">
        <span>Delete this file?</span>
        <button
          type="button"
          className="danger"
          data-testid="confirm-delete-button"
          disabled={deleting}
          onClick={() => {
            setDeleting(true)
            void onDelete(media).finally(() => setDeleting(false))
          }}
        >
          {deleting ? 'Deleting…' : 'Delete'}
        </button>
        <button type="button" onClick={() => setAsking(false)}>
          Keep
        </button>
      </div>
    )
  }
  return (
    <div className="actions">
      {media.contentUrl !== null && (
        <a className="button" href={media.contentUrl} download={media.filename}>
          <Icon name="download" /> Download
        </a>
      )}
      <button
        type="button"
        className="danger-quiet"
        data-testid="delete-button"
        onClick={() => setAsking(true)}
      >
        <Icon name="trash" /> Delete
      </button>
    </div>
  )
}
