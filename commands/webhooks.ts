import { Bus } from '../ledger/bus.ts'
import type { Ledger } from '../ledger/database.ts'
import { enableEndpoint } from '../ledger/webhook-endpoints.ts'
import { listDeliveries, replayDelivery } from '../ledger/webhook-history.ts'
import { type Config, ConfigError } from '../server/config.ts'
import { CommandFailure } from '../server/process/command-failure.ts'
import { type Command, done, type Outcome, UsageError } from './command.ts'
import { withLedger } from './with-ledger.ts'

const LISTED = 100

/** Lists the last deliveries of all owners, sends one again, or enables an endpoint that has answered 410. */
export const command: Command = {
  usage: 'list | replay ID | enable',
  details: [
    '  list       the last 100 deliveries of all owners',
    '  replay ID  send one again, now',
    '  enable     use the endpoint of WEBHOOK_URL again after it answered 410',
  ],
  takesPositionals: true,
  async run({ env, positionals: [action, id, ...rest] }) {
    const isCalledRightly = (action === 'replay') === (id !== undefined) && rest.length === 0
    if (!isCalledRightly || (action !== 'list' && action !== 'replay' && action !== 'enable')) {
      throw new UsageError('webhooks takes list, replay ID or enable')
    }
    return await withLedger(env, 'webhooks', async ({ config, db, connectionString, onError, releasers }) => {
      if (action === 'enable') return await enable(db, config)
      if (id === undefined) return await list(db)
      const bus = await Bus.open({ connectionString, onError })
      releasers.add('bus', () => bus.close())
      return await replay(db, bus, id)
    })
  },
}

async function list(db: Ledger): Promise<Outcome> {
  const deliveries = await listDeliveries(db, { of: 'everybody', limit: LISTED })
  const json = deliveries.map(({ id, status, attempts, type, ...row }) => ({
    ...{ id, status, attempts, type, uploadId: row.upload_id, lastError: row.last_error },
    createdAt: row.created_at.toISOString(),
  }))
  const lines = json.map(({ createdAt, id, status, attempts, type, uploadId, lastError }) =>
    [createdAt, id, status, attempts, type, uploadId, lastError ?? ''].join('  ').trimEnd(),
  )
  return done(lines, { deliveries: json })
}

async function replay(db: Ledger, bus: Bus, id: string): Promise<Outcome> {
  const result = await replayDelivery(db, undefined, id)
  switch (result.kind) {
    case 'unknown':
      throw new CommandFailure(`no delivery "${id}" exists; see landfall webhooks list`)
    case 'no-endpoint':
      throw new CommandFailure('no webhook endpoint is active; see landfall webhooks enable')
    case 'replayed':
      await bus.publish({ t: 'event', id: result.uploadId, queue: null })
      return done([`${id} is due now`], { id, uploadId: result.uploadId })
  }
}

async function enable(db: Ledger, { WEBHOOK_URL: url }: Config): Promise<Outcome> {
  if (url === undefined) {
    throw new ConfigError([
      'WEBHOOK_URL: "" is not accepted; webhooks enable takes the address that answered 410',
    ])
  }
  const enabled = await enableEndpoint(db, url)
  const line = enabled
    ? 'the endpoint is enabled again'
    : 'the endpoint is not disabled, or no worker has used it yet'
  return done([line], { enabled })
}
