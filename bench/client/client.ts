import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { ClientMessage, ClientOrder, ClientReport } from './plan.ts'

/**
 * Has a fresh client process carry out an order. Fails when it does, or with the reason of `signal`; the
 * process is gone by then.
 */
export async function runClient(order: ClientOrder, signal: AbortSignal): Promise<ClientReport> {
  signal.throwIfAborted()
  const child = fork(join(import.meta.dirname, 'process.ts'), {
    // Ctrl-C is for the bench, which then ends its children.
    detached: true,
    stdio: ['ignore', 2, 2, 'ipc'],
  })
  const kill = () => child.kill('SIGKILL')
  signal.addEventListener('abort', kill)
  try {
    let message: ClientMessage | undefined
    child.once('message', (said) => {
      message = said as ClientMessage
    })
    child.send(order)
    await once(child, 'exit')
    signal.throwIfAborted()
    return reportOf(message)
  } finally {
    signal.removeEventListener('abort', kill)
    kill()
  }
}

function reportOf(message: ClientMessage | undefined): ClientReport {
  if (message === undefined) throw new Error('the client ended without a word')
  if ('failure' in message) throw new Error(message.failure)
  return message.report
}
