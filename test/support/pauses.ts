import { setTimeout as pause } from 'node:timers/promises'

// The only places where tests wait for time to pass; test/project-files.test.ts looks after that. What somebody announces is waited for
// by its event, and what can be looked at by `expect.poll`.

/** The pace of whoever is slow in this test: a client, a line, a program, a collaborator. */
export const slowly = (ms: number): Promise<void> => pause(ms)

/** Time in which something must not happen; the test then looks that it has not. Resolves to `result`. */
export const nothingFor = <Result = undefined>(ms: number, result?: Result): Promise<Result | undefined> =>
  pause(ms, result, { ref: false })

/** Until a time limit of the product is over for certain, which nobody announces. */
export const beyond = (limitMs: number): Promise<void> => pause(limitMs + 100)

/** So long after the other side of a race has begun: at any moment the outcome has to be right. */
export const raceAfter = (ms: number): Promise<void> => pause(ms)

/** How long something is unavailable. */
export const outageOf = (ms: number): Promise<void> => pause(ms)

/** Between two looks at something outside of the test's process, which nobody announces; ends early when `stopped` does. */
export const betweenLooks = (ms = 20, stopped?: AbortSignal): Promise<void> =>
  pause(ms, undefined, { signal: stopped }).catch((error) => {
    if (!stopped?.aborted) throw error
  })
