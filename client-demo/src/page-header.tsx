import { Logo } from './icon.tsx'
import type { SessionState } from './session.ts'

interface Props {
  readonly state: SessionState
  readonly onSignOut: () => void
}

export function PageHeader({ state, onSignOut }: Props) {
  return (
    <header className="page-header">
      <Logo />
      <div>
        <h1>Landfall</h1>
        <p>Uploads that arrive.</p>
      </div>
      {state.kind === 'signed-in' && (
        <p className="identity">
          <span>
            Signed in as <strong>{state.subject}</strong>
          </span>
          {state.pasted && (
            <button type="button" className="small" onClick={onSignOut}>
              Sign out
            </button>
          )}
        </p>
      )}
    </header>
  )
}
