import { ApiError, parseProblem } from './problem.ts'
import { addressOf, storageKeyOf } from './server-address.ts'

const storageKey = storageKeyOf('landfall.token')
const pastedKey = storageKeyOf('landfall.token-pasted')
const codeKey = storageKeyOf('landfall.dev-code')
/** A token that ends within this time is renewed first: a request must not run into its expiry. */
const expiryMarginMs = 30_000

export type SessionState =
  | { readonly kind: 'starting' }
  | { readonly kind: 'signed-in'; readonly subject: string; readonly pasted: boolean }
  /** The server gives out no dev tokens to this page: a person must paste one. */
  | { readonly kind: 'token-wanted'; readonly refused: boolean }

export interface Session {
  /**
   * A token that is not about to expire. Waits, as long as it takes, for a person to paste one where the
   * server gives out none; so requests simply continue afterwards.
   * @throws ApiError when the server cannot be reached
   */
  token(): Promise<string>
  /** The server refused this token (401); the next `token()` is another one. */
  refuse(token: string): void
  paste(token: string): void
  signOut(): void
  state(): SessionState
  subscribe(listener: () => void): () => void
}

/** Holds who is signed in, in localStorage, so that a reload and a second tab go on as the same user. */
export function createSession(subject = 'demo'): Session {
  keepDevCode()
  let current: string | null = localStorage.getItem(storageKey)
  let pasted = localStorage.getItem(pastedKey) !== null
  let state: SessionState = { kind: 'starting' }
  let renewal: Promise<string> | null = null
  let onPaste: ((token: string) => void) | null = null
  const listeners = new Set<() => void>()

  function become(next: SessionState): void {
    state = next
    for (const listener of listeners) listener()
  }

  function accept(token: string): string {
    current = token
    localStorage.setItem(storageKey, token)
    if (pasted) localStorage.setItem(pastedKey, 'yes')
    else localStorage.removeItem(pastedKey)
    become({ kind: 'signed-in', subject: claimsOf(token)?.sub ?? 'you', pasted })
    return token
  }

  async function renew(refused: boolean): Promise<string> {
    const fresh = await fetchDevToken(subject)
    pasted = fresh === null
    if (fresh !== null) return accept(fresh)
    become({ kind: 'token-wanted', refused })
    return new Promise((resolve) => {
      onPaste = (token) => resolve(accept(token))
    })
  }

  function renewOnce(refused: boolean): Promise<string> {
    renewal ??= renew(refused).finally(() => {
      renewal = null
    })
    return renewal
  }

  let lastWasRefused = false

  return {
    async token() {
      if (current === null || isEnding(current)) {
        const hadOne = current !== null || lastWasRefused
        lastWasRefused = false
        return renewOnce(hadOne)
      }
      if (state.kind !== 'signed-in') return accept(current)
      return current
    },
    refuse(token) {
      if (current !== token) return
      current = null
      lastWasRefused = true
      localStorage.removeItem(storageKey)
    },
    paste(token) {
      onPaste?.(token.trim())
      onPaste = null
    },
    signOut() {
      localStorage.removeItem(storageKey)
      location.reload()
    },
    state: () => state,
    subscribe(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}

/**
 * The address that the server prints at its start has a code, which it takes as a proof that one has seen it. It is kept
 * for reloads and other tabs, and taken out of the address, which people copy to others.
 */
function keepDevCode(): void {
  const address = new URL(location.href)
  const code = address.searchParams.get('code')
  if (code === null) return
  if (code !== '') localStorage.setItem(codeKey, code)
  address.searchParams.delete('code')
  history.replaceState(history.state, '', address)
}

/** A token of `POST /dev/token`, or null where the server gives none, at least not to who has this code. */
async function fetchDevToken(sub: string): Promise<string | null> {
  const code = localStorage.getItem(codeKey)
  // Without one the server would answer 404, which browsers show as an error.
  if (code === null) return null
  let response: Response
  try {
    response = await fetch(addressOf('/dev/token'), {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'X-Dev-Code': code },
      body: JSON.stringify({ sub }),
    })
  } catch (cause) {
    throw new ApiError({ code: 'network', detail: '' }, 0, { cause })
  }
  if (response.status === 404) {
    // Of an earlier start: the server has another now. One from another tab may have come meanwhile.
    if (localStorage.getItem(codeKey) === code) localStorage.removeItem(codeKey)
    return null
  }
  if (!response.ok) throw new ApiError(parseProblem(await response.text(), response.status), response.status)
  const body = (await response.json()) as { token: string }
  return body.token
}

interface Claims {
  readonly sub?: string
  /** Seconds since 1970. */
  readonly exp?: number
}

/** What a JWT says, unverified: only to show a name and to renew in time. The server decides. */
function claimsOf(token: string): Claims | null {
  try {
    const payload = token.split('.')[1] ?? ''
    const bytes = Uint8Array.from(atob(payload.replaceAll('-', '+').replaceAll('_', '/')), (c) =>
      c.charCodeAt(0),
    )
    return JSON.parse(new TextDecoder().decode(bytes)) as Claims
  } catch {
    return null
  }
}

function isEnding(token: string): boolean {
  const exp = claimsOf(token)?.exp
  return exp !== undefined && exp * 1000 - Date.now() < expiryMarginMs
}
