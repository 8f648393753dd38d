import { Bus } from '../../ledger/bus.ts'
import type { Ledger } from '../../ledger/database.ts'
import { enableEndpoint } from '../../ledger/webhook-endpoints.ts'
import { EVERYBODY, listDeliveries, replayDelivery } from '../../ledger/webhook-history.ts'
import { type Config, ConfigError, type Environment } from '../config.ts'
import { withLedger } from './with-ledger.ts'

const LISTED = 100

/** Lists the last deliveries of all owners, sends one again, or uses an endpoint again that has answered 410. */
export async function webhooks(env: Environment, args: readonly string[]): Promise<number> {
  const [action, id, ...rest] = args
  const isCalledRightly = (action === 'replay') === (id !== undefined) && rest.length === 0
  if (!isCalledRightly || (action !== 'list' && action !== 'replay' && action !== 'enable')) {
    process.stderr.write('landfall: webhooks takes list, replay ID or enable\n')
    return 2
  }
  return await withLedger(env, 'webhooks', async ({ config, db, connectionString, onError, releasers }) => {
    if (action === 'enable') return await enable(db, config)
    if (id === undefined) return await list(db)
    const bus = await Bus.open({ connectionString, db, onError })
    releasers.add('bus', () => bus.close())
    return await replay(db, bus, id)
  })
}

async function list(db: Ledger): Promise<number> {
  for (const delivery of await listDeliveries(db, { whose: EVERYBODY, limit: LISTED })) {
    const { id, status, attempts, type, upload_id, last_error, created_at } = delivery
    const fields = [created_at.toISOString(), id, status, attempts, type, upload_id, last_error ?? '']
    process.stdout.write(`${fields.join('  ').trimEnd()}\n`)
  }
  return 0
}

async function replay(db: Ledger, bus: Bus, id: string): Promise<number> {
  const result = await replayDelivery(db, EVERYBODY, id)
  switch (result.kind) {
    case 'unknown':
      process.stderr.write(`landfall: there is no delivery "${id}"; see landfall webhooks list\n`)
      return 1
    case 'no-endpoint':
      process.stderr.write('landfall: there is no webhook endpoint in use; see landfall webhooks enable\n')
      return 1
    case 'replayed':
      await bus.publish({ t: 'event', id: result.uploadId })
      process.stdout.write(`${id} is due now\n`)
      return 0
  }
}

async function enable(db: Ledger, { WEBHOOK_URL: url }: Config): Promise<number> {
  if (url === undefined) {
    throw new ConfigError([
      'WEBHOOK_URL: "" is not accepted; webhooks enable takes the address that answered 410',
    ])
  }
  process.stdout.write(
    (await enableEndpoint(db, url))
      ? 'the endpoint is told of events again\n'
      : 'the endpoint is not disabled, or no worker has used it yet\n',
  )
  return 0
}
