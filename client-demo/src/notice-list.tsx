import { Icon } from './icon.tsx'
import type { Notices } from './use-notices.ts'

export function NoticeList({ notices, dismiss }: Pick<Notices, 'notices' | 'dismiss'>) {
  return (
    <div className="notices" aria-live="polite">
      {notices.map(({ id, tone, text }) => (
        <div key={id} className="notice" data-tone={tone}>
          <Icon name={tone === 'good' ? 'check' : 'alert'} />
          <span>{text}</span>
          <button type="button" className="icon-button" aria-label="Dismiss" onClick={() => dismiss(id)}>
            <Icon name="close" />
          </button>
        </div>
      ))}
    </div>
  )
}
