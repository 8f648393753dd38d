import { useState } from 'react'
import { Icon } from './icon.tsx'

interface Props {
  /** A token was here before and was refused or has expired. */
  readonly refused: boolean
  readonly onToken: (token: string) => void
}

/** For whom the server gives no dev tokens. Everything that waits for a token goes on when one is here. */
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
          : 'Paste a JWT that this server accepts, for example one from your backend. If you started the server yourself, open the address of the page that it printed instead: its code signs you in.'}
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
