import type { ServerUpload } from './contract.ts'
import { formatBytes, percentOf } from './format.ts'
import { Icon } from './icon.tsx'
import { ProgressBar } from './progress-bar.tsx'
import { canResumeHere } from './stored-uploads.ts'
import { IconButton } from './upload-row.tsx'

interface Props {
  readonly upload: ServerUpload
  readonly onCancel: (id: string) => void
}

/** An upload that was begun before this page was loaded. A browser may not reopen a file by itself. */
export function UnfinishedRow({ upload, onCancel }: Props) {
  const { id, filename, offset, size } = upload
  const hint = canResumeHere(id)
    ? 'Unfinished: choose the same file again to continue'
    : 'Unfinished: begun in another browser or app, which can continue it'
  return (
    <li className="row" data-testid="unfinished-row" data-name={filename} data-state="open">
      <div className="row-icon">
        <Icon name="retry" />
      </div>
      <div className="row-body">
        <div className="row-line">
          <strong className="name" title={filename}>
            {filename}
          </strong>
          <span className="numbers">
            {formatBytes(offset)}
            {size !== null && ` of ${formatBytes(size)}`}
          </span>
        </div>
        {size !== null && (
          <ProgressBar
            label={`Upload of ${filename}`}
            value={percentOf(offset, size)}
            max={100}
            tone="quiet"
          />
        )}
        <div className="row-line">
          <span className="state">{hint}</span>
          <span className="numbers">{size !== null && `${percentOf(offset, size)} %`}</span>
        </div>
      </div>
      <div className="row-buttons">
        <IconButton
          icon="close"
          label={`Cancel ${filename}`}
          testId="cancel-button"
          onClick={() => onCancel(id)}
        />
      </div>
    </li>
  )
}
