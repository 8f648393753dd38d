import { Bus } from '../../ledger/bus.ts'
import {
  type Dispatcher,
  startDispatcher,
  type Timing,
  type WebhookOptions,
} from '../../processing/webhooks/dispatcher.ts'
import { openLedger } from './ledger.ts'

export type WebhookWorkerOptions = { connectionString: string; webhook: WebhookOptions; timing: Timing }

/** The part of a worker that sends webhooks, alone. */
export async function startWebhookWorker({
  connectionString,
  webhook,
  timing,
}: WebhookWorkerOptions): Promise<Dispatcher> {
  const db = openLedger(connectionString)
  const onError = () => {}
  const bus = await Bus.open({ connectionString, onError })
  const log = { info: onError, warn: onError, error: onError }
  const dispatcher = await startDispatcher({ db, bus, webhook, log, timing })
  return {
    async close() {
      await dispatcher.close()
      await bus.close()
      await db.destroy()
    },
  }
}

// As a process of its own, to be killed.
if (import.meta.main) await startWebhookWorker(JSON.parse(process.argv[2] ?? ''))
