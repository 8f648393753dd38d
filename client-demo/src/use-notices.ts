import { useCallback, useState } from 'react'

export interface Notice {
  readonly id: number
  readonly tone: 'good' | 'bad'
  readonly text: string
}

export interface Notices {
  readonly notices: readonly Notice[]
  readonly say: (tone: Notice['tone'], text: string) => void
  readonly dismiss: (id: number) => void
}

const shownMs = 7_000
let nextId = 1

/** Short messages that come up in the corner and leave by themselves. */
export function useNotices(): Notices {
  const [notices, setNotices] = useState<readonly Notice[]>([])
  const dismiss = useCallback(
    (id: number) => setNotices((all) => all.filter((notice) => notice.id !== id)),
    [],
  )
  const say = useCallback(
    (tone: Notice['tone'], text: string) => {
      const id = nextId++
      setNotices((all) => [...all.slice(-3), { id, tone, text }])
      setTimeout(() => dismiss(id), shownMs)
    },
    [dismiss],
  )
  return { notices, say, dismiss }
}
