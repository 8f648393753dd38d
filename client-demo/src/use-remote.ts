import { useCallback, useEffect, useRef, useState } from 'react'
import { messageOf } from './problem.ts'

export interface Remote<T> {
  /** The last answer; stays while it is asked for again. */
  readonly data: T | null
  readonly error: string | null
  readonly reload: () => void
}

/** Something the API answers, asked for at once and on `reload`. Reloads during a load become one more load. */
export function useRemote<T>(load: () => Promise<T>): Remote<T> {
  const [data, setData] = useState<T | null>(null)
  const [error, setError] = useState<string | null>(null)
  const running = useRef(false)
  const again = useRef(false)

  const reload = useCallback(() => {
    if (running.current) {
      again.current = true
      return
    }
    running.current = true
    load()
      .then(
        (answer) => {
          setData(answer)
          setError(null)
        },
        (reason: unknown) => setError(messageOf(reason)),
      )
      .finally(() => {
        running.current = false
        if (!again.current) return
        again.current = false
        reload()
      })
  }, [load])

  useEffect(reload, [reload])
  return { data, error, reload }
}
