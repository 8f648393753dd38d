import type { ServerUpload } from './contract.ts'
import { UnfinishedRow } from './unfinished-row.tsx'
import { UploadRow } from './upload-row.tsx'
import { isFinished } from './upload-state.ts'
import type { UseUpload } from './use-upload.ts'

interface Props {
  readonly uploading: UseUpload
  readonly unfinished: readonly ServerUpload[]
  readonly onOpen: (mediaId: string) => void
  readonly onCancelUnfinished: (id: string) => void
}

export function UploadsSection({ uploading, unfinished, onOpen, onCancelUnfinished }: Props) {
  const { uploads } = uploading
  if (uploads.length === 0 && unfinished.length === 0) return null
  return (
    <section className="panel" aria-labelledby="uploads">
      <header className="panel-head">
        <h2 id="uploads">Uploads</h2>
        {uploads.filter(isFinished).length > 1 && (
          <button type="button" className="small" onClick={() => uploading.dismiss('all')}>
            Clear finished
          </button>
        )}
      </header>
      <ul className="rows">
        {uploads.map((upload) => (
          <UploadRow key={upload.id} upload={upload} actions={uploading} onOpen={onOpen} />
        ))}
        {unfinished.map((upload) => (
          <UnfinishedRow key={upload.id} upload={upload} onCancel={onCancelUnfinished} />
        ))}
      </ul>
    </section>
  )
}
