import { useState } from 'react'
import { Icon } from './icon.tsx'

interface Props {
  /** A token was here before and was refused or has expired. */
  readonly refused: boolean
  readonly onToken: (token: string) => void
}

/** For servers that give out no dev tokens. Everything that waits for a token goes on when one is here. */
export function TokenForm({ refused, onToken }: Props) {
  const [token, setToken] = useState('')
  const shape = /^[\w-]+\.[\w-]+\.[\w-]+$/
  return (
    <form
      className="panel token-form"
      data-testid="token-form"
      onSubmit={(event) => {
        event.preventDefault()
        onToken(token)
      }}
    >
      <h2>
        <Icon name="key" /> Sign in with a token
      </h2>
      <p id="token-hint">
        {refused
          ? 'The server did not accept the token, or it has expired. Paste a new one.'
          : 'This server gives out no demo tokens. Paste a JWT that it accepts, for example one from its own backend.'}
      </p>
      <div className="token-line">
        <input
          type="password"
          autoComplete="off"
          spellCheck={false}
          placeholder="eyJ…"
          aria-label="Token (JWT)"
          aria-describedby="token-hint"
          value={token}
          onChange={(event) => setToken(event.target.value)}
        />
        <button type="submit" className="primary" disabled={!shape.test(token.trim())}>
          Continue
        </button>
      </div>
    </form>
  )
}
