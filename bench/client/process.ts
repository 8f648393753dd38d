/** The client as a process of its own: its work counts for no subject and holds nobody's event loop up. */
import type { ClientMessage, ClientOrder } from './plan.ts'
import { carryOut } from './tus-client.ts'

process.once('disconnect', () => process.exit())
process.once('message', async (order: ClientOrder) => {
  const message = await carryOut(order).then(
    (report): ClientMessage => ({ report }),
    (error): ClientMessage => ({ failure: error instanceof Error ? error.message : String(error) }),
  )
  process.send?.(message, () => process.disconnect())
})
