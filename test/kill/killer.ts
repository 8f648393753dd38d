import { raceAfter } from '../support/pauses.ts'
import type { ServerProcess } from '../support/server-process.ts'
import type { Kill, MomentKind } from './plan.ts'

/**
 * Kills as planned, one after the other: each is aimed when the one before it is over, and the server
 * is started again after each. A kill whose moment is past by then takes the next one of its kind; when
 * none comes any more it happens when the clients are done.
 */
export class Killer {
  /** Milliseconds from each start of the server until it listened. */
  readonly restartMs: number[] = []
  /** What was killed, and at which moment. */
  readonly executed: string[] = []
  readonly #server: ServerProcess
  readonly #done: Promise<void>
  #aimed: { kill: Kill; shoot: () => void } | undefined
  #bytes = 0
  readonly #occurrences = new Map<MomentKind, number>()
  #isOver = false
  #revival: Promise<void> = Promise.resolve()

  constructor(server: ServerProcess, kills: readonly Kill[]) {
    this.#server = server
    this.#done = this.#work(kills)
    // Looked at in `finish`.
    this.#done.catch(() => {})
  }

  /** Resolves when the server is there: at once, or when it was started again. */
  async available(): Promise<void> {
    await this.#revival
  }

  sent(bytes: number): void {
    this.#bytes += bytes
    const moment = this.#aimed?.kill.moment
    if (moment?.at === 'byte' && this.#bytes >= moment.bytes) this.#aimed?.shoot()
  }

  moment(kind: MomentKind): void {
    const count = (this.#occurrences.get(kind) ?? 0) + 1
    this.#occurrences.set(kind, count)
    const moment = this.#aimed?.kill.moment
    if (moment?.at === kind && count >= moment.occurrence) this.#aimed?.shoot()
  }

  /** Called when the clients are done: kills what is left and waits until the server is back. */
  async finish(): Promise<void> {
    this.#isOver = true
    this.#aimed?.shoot()
    await this.#done
  }

  async #work(kills: readonly Kill[]): Promise<void> {
    for (const kill of kills) {
      await this.#itsMoment(kill)
      const isMissed = this.#isOver
      if (kill.moment.at !== 'byte' && kill.moment.afterMs > 0) await raceAfter(kill.moment.afterMs)
      if (kill.victim === 'worker') process.kill(await this.#server.untilWorker(), 'SIGKILL')
      else {
        process.kill(this.#server.run().pid, 'SIGKILL')
        this.#revival = this.#revive(kill)
        await this.#revival
      }
      this.executed.push(`${kill.victim} ${isMissed ? 'at the end' : nameOf(kill)}`)
    }
  }

  async #itsMoment(kill: Kill): Promise<void> {
    if (this.#isOver) return
    await new Promise<void>((resolve) => {
      this.#aimed = { kill, shoot: resolve }
    })
    this.#aimed = undefined
  }

  async #revive({ againAfterMs }: Kill): Promise<void> {
    await this.#server.run().exited
    if (againAfterMs !== undefined) {
      // By then it listens or does not yet: both are to be survived.
      const restarted = this.#server.restart().catch(() => {})
      await raceAfter(againAfterMs)
      await this.#server.kill('SIGKILL')
      await restarted
    }
    const startedAt = performance.now()
    await this.#server.restart()
    this.restartMs.push(performance.now() - startedAt)
  }
}

function nameOf({ moment, againAfterMs }: Kill): string {
  const isLate = moment.at === 'last-patch-acknowledged' && moment.afterMs > 0
  return `${isLate ? 'processing' : moment.at}${againAfterMs === undefined ? '' : ' and while starting'}`
}
