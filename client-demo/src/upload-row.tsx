import { steps } from './contract.ts'
import { formatBytes, percentOf } from './format.ts'
import { Icon } from './icon.tsx'
import { ProgressBar } from './progress-bar.tsx'
import { isFinished, isSending, isUnderWay, type Upload } from './upload-state.ts'
import { paceText, stateText, stepsDone } from './upload-text.ts'
import type { UseUpload } from './use-upload.ts'

interface Props {
  readonly upload: Upload
  readonly actions: Pick<UseUpload, 'pause' | 'resume' | 'cancel' | 'retry' | 'dismiss'>
  readonly onOpen: (mediaId: string) => void
}

export function UploadRow({ upload, actions, onOpen }: Props) {
  const { phase, name, size } = upload
  const code = 'reason' in phase ? phase.reason.code : null
  return (
    <li
      className="row"
      data-testid="upload-row"
      data-state={phase.state}
      data-activity={phase.state === 'open' ? phase.activity : undefined}
      data-name={name}
      data-upload-id={upload.uploadId ?? undefined}
    >
      <div className="row-icon">
        <Icon name={markOf(upload)} />
      </div>
      <div className="row-body">
        <div className="row-line">
          <strong className="name" title={name}>
            {name}
          </strong>
          <span className="numbers">
            {isUnderWay(upload) && 'bytes' in phase
              ? `${formatBytes(phase.bytes)} of ${formatBytes(size)}`
              : formatBytes(size)}
          </span>
        </div>
        <Bar upload={upload} />
        <div className="row-line">
          <span className="state">
            <span aria-live="polite">{stateText(upload)}</span>
            {code !== null && <code>{code}</code>}
          </span>
          <span className="numbers">
            {[paceText(upload), 'bytes' in phase ? `${percentOf(phase.bytes, size)} %` : '']
              .filter(Boolean)
              .join(' · ')}
          </span>
        </div>
      </div>
      <Buttons upload={upload} actions={actions} onOpen={onOpen} />
    </li>
  )
}

function Bar({ upload: { phase, name, size } }: Pick<Props, 'upload'>) {
  if ('bytes' in phase) {
    const percent = percentOf(phase.bytes, size)
    return (
      <ProgressBar
        label={`Upload of ${name}`}
        value={percent}
        max={100}
        tone={phase.activity === 'sending' ? 'accent' : 'quiet'}
      />
    )
  }
  if (phase.state !== 'processing') return null
  const done = stepsDone(phase.step)
  return (
    <ProgressBar
      label={`Processing of ${name}`}
      value={done}
      max={steps.length}
      text={`${done} of ${steps.length} steps done`}
      tone="busy"
    />
  )
}

function Buttons({ upload, actions, onOpen }: Props) {
  const { id, name, phase } = upload
  return (
    <div className="row-buttons">
      {isSending(upload) && (
        <IconButton
          icon="pause"
          label={`Pause ${name}`}
          testId="pause-button"
          onClick={() => actions.pause(id)}
        />
      )}
      {isUnderWay(upload) && !isSending(upload) && (
        <IconButton
          icon="play"
          label={`Resume ${name}`}
          testId="pause-button"
          onClick={() => actions.resume(id)}
        />
      )}
      {phase.state === 'stopped' && (
        <button type="button" className="small" data-testid="retry-button" onClick={() => actions.retry(id)}>
          Try again
        </button>
      )}
      {phase.state === 'ready' && (
        <button type="button" className="small" onClick={() => onOpen(phase.mediaId)}>
          Open
        </button>
      )}
      {isUnderWay(upload) && (
        <IconButton
          icon="close"
          label={`Cancel ${name}`}
          testId="cancel-button"
          onClick={() => actions.cancel(id)}
        />
      )}
      {isFinished(upload) && (
        <IconButton icon="close" label={`Take ${name} off the list`} onClick={() => actions.dismiss(id)} />
      )}
    </div>
  )
}

interface IconButtonProps {
  readonly icon: 'pause' | 'play' | 'close'
  readonly label: string
  readonly testId?: string
  readonly onClick: () => void
}

export function IconButton({ icon, label, testId, onClick }: IconButtonProps) {
  return (
    <button
      type="button"
      className="icon-button"
      aria-label={label}
      title={label}
      data-testid={testId}
      onClick={onClick}
    >
      <Icon name={icon} />
    </button>
  )
}

function markOf({ phase, kind }: Upload) {
  if (phase.state === 'ready') return 'check'
  if ('reason' in phase) return 'alert'
  return kind ?? 'file'
}
