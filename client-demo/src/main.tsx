import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { createApi } from './api.ts'
import { App } from './app.tsx'
import { createSession } from './session.ts'

const root = document.getElementById('root')
if (root === null) throw new Error('index.html has no #root')

const session = createSession()
const api = createApi(session)

createRoot(root).render(
  <StrictMode>
    <App session={session} api={api} />
  </StrictMode>,
)
