import { useCallback, useMemo, useState, useSyncExternalStore } from 'react'
import type { Api } from './api.ts'
import type { Media, ServerUpload } from './contract.ts'
import { DropZone } from './drop-zone.tsx'
import { GallerySection } from './gallery-section.tsx'
import { createMediaWatch } from './media-watch.ts'
import { NoticeList } from './notice-list.tsx'
import { createOwnerEvents } from './owner-events.ts'
import { PageHeader } from './page-header.tsx'
import { PlayerDialog } from './player-dialog.tsx'
import { messageOf } from './problem.ts'
import type { Session } from './session.ts'
import { StorageCard } from './storage-card.tsx'
import { forgetStored } from './stored-uploads.ts'
import { TokenForm } from './token-form.tsx'
import { isUnderWay, type Upload } from './upload-state.ts'
import { UploadsSection } from './uploads-section.tsx'
import { useGallery, useProcessingWatch, useStreamableWatch } from './use-gallery.ts'
import { useNotices } from './use-notices.ts'
import { useRemote } from './use-remote.ts'
import { useUpload } from './use-upload.ts'

interface Props {
  readonly session: Session
  readonly api: Api
}

export function App({ session, api }: Props) {
  const signedIn = useSyncExternalStore(session.subscribe, session.state)
  const watch = useMemo(() => createMediaWatch(api, createOwnerEvents(api)), [api])
  const formats = useRemote(api.formats)
  const quota = useRemote(api.quota)
  const open = useRemote(api.openUploads)
  const gallery = useGallery(api)
  const { notices, say, dismiss } = useNotices()
  const [opened, setOpened] = useState<Media | null>(null)

  const onUsage = useCallback(() => {
    quota.reload()
    open.reload()
  }, [quota.reload, open.reload])

  const uploading = useUpload({ session, api, watch, formats: formats.data, onMedia: gallery.show, onUsage })
  const processing = uploading.uploads.filter((upload) => upload.phase.state === 'processing')
  const followed = new Set(processing.flatMap((upload) => upload.uploadId ?? []))
  useProcessingWatch(watch, gallery.items, followed, gallery.show)
  useStreamableWatch(watch, gallery.items, gallery.refresh)

  /** Always with fresh links: those in the library may have ended. */
  function openMedia(id: string): void {
    api.media(id).then(
      (media) => {
        setOpened(media)
        gallery.show(media)
      },
      (error: unknown) => say('bad', messageOf(error)),
    )
  }

  async function deleteMedia(media: Media): Promise<void> {
    try {
      await api.deleteMedia(media.id)
      gallery.show({ ...media, status: 'deleted' })
      // Its row would offer to open what is gone.
      const row = uploading.uploads.find((upload) => upload.uploadId === media.uploadId)
      if (row !== undefined) uploading.dismiss(row.id)
      setOpened(null)
      say('good', `${media.filename} is deleted.`)
      quota.reload()
    } catch (error) {
      say('bad', messageOf(error))
    }
  }

  function cancelUnfinished(id: string): void {
    api
      .terminate(id)
      .then(() => forgetStored(id))
      .catch((error: unknown) => say('bad', messageOf(error)))
      .finally(onUsage)
  }

  function retry(): void {
    formats.reload()
    onUsage()
  }

  // Nothing can be shown or sent before there is a token; what was there already stays.
  const locked =
    signedIn.kind === 'token-wanted' && gallery.items.length === 0 && uploading.uploads.length === 0

  return (
    <>
      <PageHeader state={signedIn} onSignOut={session.signOut} />
      <main>
        {signedIn.kind === 'token-wanted' && <TokenForm refused={signedIn.refused} onToken={session.paste} />}
        {!locked && (
          <div className="top">
            <DropZone
              formats={formats.data}
              onFiles={uploading.add}
              onFolder={() => say('bad', 'Folders cannot be uploaded. Drop the files inside it instead.')}
            />
            <StorageCard quota={quota} formats={formats.data} onRetry={retry} />
          </div>
        )}
        <UploadsSection
          uploading={uploading}
          unfinished={unfinishedOf(open.data ?? [], uploading.uploads)}
          onOpen={openMedia}
          onCancelUnfinished={cancelUnfinished}
        />
        {!locked && <GallerySection gallery={gallery} onOpen={(media) => openMedia(media.id)} />}
      </main>
      {opened !== null && (
        <PlayerDialog
          key={opened.id}
          media={latestOf(opened, gallery.items)}
          onClose={() => setOpened(null)}
          onDelete={deleteMedia}
        />
      )}
      <NoticeList notices={notices} dismiss={dismiss} />
    </>
  )
}

/** Follows an open media when it becomes ready, but not when only its links are new: that would restart the player. */
function latestOf(opened: Media, items: readonly Media[]): Media {
  const listed = items.find((media) => media.id === opened.id)
  return listed !== undefined && listed.status !== opened.status ? listed : opened
}

/** Open uploads that no row of this page stands for (a file just chosen may be one whose id is not known yet). */
function unfinishedOf(open: readonly ServerUpload[], uploads: readonly Upload[]): readonly ServerUpload[] {
  return open.filter(
    (server) =>
      !uploads.some(
        (row) =>
          row.uploadId === server.id ||
          (isUnderWay(row) &&
            row.uploadId === null &&
            row.name === server.filename &&
            row.size === server.size),
      ),
  )
}
