import { useEffect, useLayoutEffect, useRef, useState } from 'react'
import { acceptOf } from './accepted-files.ts'
import type { Formats } from './contract.ts'
import { Icon } from './icon.tsx'

interface Props {
  readonly formats: Formats | null
  readonly onFiles: (files: readonly File[]) => void
  readonly onFolder: () => void
}

/** Files can be dropped anywhere on the page; this is where it says so, and where they can be chosen. */
export function DropZone({ formats, onFiles, onFolder }: Props) {
  const input = useRef<HTMLInputElement>(null)
  const dragging = usePageDrop(onFiles, onFolder)

  return (
    <section className="drop-zone" data-dragging={dragging} aria-label="Upload files">
      <div className="drop-mark">
        <Icon name="upload" />
      </div>
      <h2>{dragging ? 'Let go to upload' : 'Drop files anywhere on this page'}</h2>
      <p>If the connection breaks, the upload waits and goes on where it stopped, even after a reload.</p>
      <button type="button" className="primary" onClick={() => input.current?.click()}>
        Choose files
      </button>
      <input
        ref={input}
        className="visually-hidden"
        type="file"
        multiple
        tabIndex={-1}
        aria-label="Files to upload"
        data-testid="file-input"
        accept={formats === null ? undefined : acceptOf(formats)}
        onChange={(event) => {
          onFiles([...(event.target.files ?? [])])
          // So that choosing the same file again is a change again.
          event.target.value = ''
        }}
      />
    </section>
  )
}

/** Listens on the whole window; returns whether files are being dragged over it. */
function usePageDrop(onFiles: (files: readonly File[]) => void, onFolder: () => void): boolean {
  const [dragging, setDragging] = useState(false)
  const latest = useRef({ onFiles, onFolder })
  useEffect(() => {
    latest.current = { onFiles, onFolder }
  })

  // Before the first paint: until then the browser would leave the page and open the file.
  useLayoutEffect(() => {
    const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes('Files') ?? false
    const over = (event: DragEvent) => {
      if (!hasFiles(event)) return
      event.preventDefault()
      setDragging(true)
    }
    const leave = (event: DragEvent) => {
      // Only when the pointer leaves the window: between two elements there is a related target.
      if (event.relatedTarget === null) setDragging(false)
    }
    const drop = (event: DragEvent) => {
      if (!hasFiles(event)) return
      event.preventDefault()
      setDragging(false)
      const items = [...(event.dataTransfer?.items ?? [])]
      const files = items.filter((item) => item.webkitGetAsEntry()?.isDirectory !== true)
      if (files.length < items.length) latest.current.onFolder()
      latest.current.onFiles(files.flatMap((item) => item.getAsFile() ?? []))
    }
    window.addEventListener('dragenter', over)
    window.addEventListener('dragover', over)
    window.addEventListener('dragleave', leave)
    window.addEventListener('drop', drop)
    return () => {
      window.removeEventListener('dragenter', over)
      window.removeEventListener('dragover', over)
      window.removeEventListener('dragleave', leave)
      window.removeEventListener('drop', drop)
    }
  }, [])

  return dragging
}
