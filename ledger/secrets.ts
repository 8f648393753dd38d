import type { Ledger } from './database.ts'

/** The secret of this name, the same on every node: the first caller's proposal is kept. */
export async function sharedSecret(db: Ledger, name: string, propose: () => Buffer): Promise<Buffer> {
  await db
    .insertInto('landfall.secrets')
    .values({ name, value: propose() })
    .onConflict((conflict) => conflict.doNothing())
    .execute()
  const row = await db
    .selectFrom('landfall.secrets')
    .select('value')
    .where('name', '=', name)
    .executeTakeFirstOrThrow()
  return row.value
}
