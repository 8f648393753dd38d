import { listTypes } from './accepted-files.ts'
import type { Formats, Quota } from './contract.ts'
import { formatByteLimit, formatBytes, formatLimit, unitsOf } from './format.ts'
import { ProgressBar } from './progress-bar.tsx'
import type { Remote } from './use-remote.ts'

interface Props {
  readonly quota: Remote<Quota>
  readonly formats: Formats | null
  readonly onRetry: () => void
}

/** What the person may still store, and what the server takes. */
export function StorageCard({ quota, formats, onRetry }: Props) {
  return (
    <aside className="storage" aria-label="Storage and limits">
      <h2>Storage</h2>
      {quota.data !== null && <Usage quota={quota.data} />}
      {quota.data === null && quota.error !== null && (
        <p className="inline-error" role="alert">
          {quota.error}
          <button type="button" className="small" onClick={onRetry}>
            Try again
          </button>
        </p>
      )}
      {formats !== null && <Accepted formats={formats} />}
    </aside>
  )
}

function Usage({ quota: { bytes, uploads } }: { readonly quota: Quota }) {
  const taken = bytes.used + bytes.reserved
  // In the units of the limit, so that the two can be compared.
  const shown = (size: number) => formatBytes(size, bytes.limit === null ? 'decimal' : unitsOf(bytes.limit))
  const own = bytes.reserved - bytes.reservedByPartials
  const tight = bytes.limit !== null && taken > bytes.limit * 0.9
  return (
    <div data-testid="quota">
      <p className="usage">
        <strong>{shown(taken)}</strong>
        {bytes.limit === null ? ' used' : ` of ${formatByteLimit(bytes.limit)} used`}
      </p>
      {bytes.limit !== null && (
        <ProgressBar
          label="Storage used"
          value={Math.min(taken, bytes.limit)}
          max={bytes.limit}
          text={`${shown(taken)} of ${formatByteLimit(bytes.limit)}`}
          tone={tight ? 'bad' : 'accent'}
        />
      )}
      <p className="small-print">
        {uploads.finished.toLocaleString('en')}{' '}
        {uploads.limit === null ? '' : `of ${uploads.limit.toLocaleString('en')} `}
        {uploads.finished === 1 && uploads.limit === null ? 'upload' : 'uploads'} finished, {uploads.open} of{' '}
        {uploads.maxOpen} open
        {own > 0 && `, ${shown(own)} set aside for them`}
        {bytes.reservedByPartials > 0 &&
          `, ${shown(bytes.reservedByPartials)} for ${uploads.partials} pieces of files that arrive in parallel`}
      </p>
    </div>
  )
}

const kinds = [
  { kind: 'video', label: 'Video' },
  { kind: 'image', label: 'Image' },
  { kind: 'audio', label: 'Audio' },
] as const

function Accepted({ formats }: { readonly formats: Formats }) {
  return (
    <dl className="accepted">
      {kinds.map(({ kind, label }) => {
        const names = listTypes(formats, kind)
        return names === '' ? null : (
          <div key={kind}>
            <dt>{label}</dt>
            <dd>{names}</dd>
          </div>
        )
      })}
      <div>
        <dt>Up to</dt>
        <dd>
          {formatByteLimit(formats.maxSize)}, {formatLimit(formats.maxDurationSeconds)}, {formats.maxWidth} ×{' '}
          {formats.maxHeight}
        </dd>
      </div>
    </dl>
  )
}
