import { sql } from 'kysely'
import type { Ledger } from '../../ledger/database.ts'
import { betweenLooks } from '../support/pauses.ts'

/**
 * - `begin`: a worker is about to record that the step begins
 * - `end`: all of the step is done but the record that it is
 * - `commit`: that record is being committed; a worker that dies now never hears that it was
 */
export type HoldMoment = 'begin' | 'end' | 'commit'

export type HoldPlan = { filename: string; step: string; moment: HoldMoment }

export type Hold = {
  /** Name of the worker's database connections, as soon as it is held. Fails when no worker comes. */
  reached: Promise<string>
  /** Nobody is held by it any more. */
  release(): Promise<void>
}

/** First half of the advisory locks that those take who are held; the second is the number of the hold. */
const LOCK_CLASS = 0x1a4d
const POLL_MS = 10

const STATEMENTS = [
  'create schema steps_test',
  `create table steps_test.holds (
    id integer generated always as identity primary key,
    filename text not null,
    step text not null,
    moment text not null,
    is_released boolean not null default false,
    unique (filename, step, moment)
  )`,
  // Waits in the statement of the worker. Its lock tells who waits, as nothing that it writes is seen before its end.
  `create function steps_test.hold() returns trigger language plpgsql as $$
    declare hold_id integer;
    begin
      select h.id into hold_id from steps_test.holds h join landfall.media m on m.filename = h.filename
       where m.id = new.media_id and h.step = new.step and h.moment = tg_argv[0] and not h.is_released;
      if hold_id is not null then
        perform pg_advisory_xact_lock_shared(${LOCK_CLASS}, hold_id);
        while exists (select from steps_test.holds where id = hold_id and not is_released) loop
          perform pg_sleep(0.002);
        end loop;
      end if;
      return new;
    end $$`,
  `create trigger hold_begin before insert on landfall.processing_steps
    for each row execute function steps_test.hold('begin')`,
  `create trigger hold_end before update on landfall.processing_steps
    for each row when (new.status = 'done' and old.status <> 'done') execute function steps_test.hold('end')`,
  `create constraint trigger hold_commit after update on landfall.processing_steps deferrable initially deferred
    for each row when (new.status = 'done' and old.status <> 'done') execute function steps_test.hold('commit')`,
]

/** Holds workers at the edges of steps, by triggers of the test's own in the ledger's database. */
export class Gate {
  readonly #db: Ledger
  readonly #waiting = new Map<number, (worker: string) => void>()
  #polling: Promise<void> | undefined

  private constructor(db: Ledger) {
    this.#db = db
  }

  static async open(db: Ledger): Promise<Gate> {
    for (const statement of STATEMENTS) await sql.raw(statement).execute(db)
    return new Gate(db)
  }

  /** A worker that comes to this moment of this step with this file, in so much time, is held there until it is released. */
  async hold({ filename, step, moment }: HoldPlan, withinMs: number): Promise<Hold> {
    const { rows } = await sql<{ id: number }>`
      insert into steps_test.holds (filename, step, moment) values (${filename}, ${step}, ${moment})
      returning id`.execute(this.#db)
    const id = rows[0]?.id ?? 0
    const { promise, resolve, reject } = Promise.withResolvers<string>()
    const timer = setTimeout(
      () => reject(new Error(`${filename} does not come to the ${moment} of ${step}`)),
      withinMs,
    )
    const reached = promise.finally(() => {
      clearTimeout(timer)
      this.#waiting.delete(id)
    })
    // A test that gives up does not wait for it.
    reached.catch(() => {})
    this.#waiting.set(id, resolve)
    this.#polling ??= this.#poll().catch(reject)
    return {
      reached,
      release: async () => {
        await sql`update steps_test.holds set is_released = true where id = ${id}`.execute(this.#db)
      },
    }
  }

  async #poll(): Promise<void> {
    while (this.#waiting.size > 0) {
      const { rows } = await sql<{ id: number; worker: string }>`
        select l.objid::integer as id, a.application_name as worker
          from pg_locks l join pg_stat_activity a on a.pid = l.pid
         where l.locktype = 'advisory' and l.classid = ${LOCK_CLASS} and a.datname = current_database()`.execute(
        this.#db,
      )
      for (const { id, worker } of rows) this.#waiting.get(id)?.(worker)
      await betweenLooks(POLL_MS)
    }
    this.#polling = undefined
  }
}
