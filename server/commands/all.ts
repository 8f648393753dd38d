import { SANDBOX_KINDS } from '../../processing/tool-sandbox.ts'
import { backup } from './backup.ts'
import { type Command, textOption, UsageError } from './command.ts'
import { doctor } from './doctor.ts'
import { migrate } from './migrate.ts'
import { move } from './move.ts'
import { reap } from './reap.ts'
import { recount } from './recount.ts'
import { restore } from './restore.ts'
import { retry } from './retry.ts'
import { serve } from './serve.ts'
import { token } from './token.ts'
import { webhooks } from './webhooks.ts'
import { work } from './worker.ts'

/** Every command of `landfall`, in the order of its overview. */
export const COMMANDS: readonly Command[] = [
  {
    name: 'serve',
    summary: 'Serve uploads, the API and the page.',
    usage: '[--dev]',
    details: [
      '  --dev  make up what is needed to try it',
      'Without DATABASE_URL it also runs a PostgreSQL, a clamd and a worker. Runs until it is stopped.',
    ],
    options: { dev: { type: 'boolean' } },
    isLongRunning: true,
    async run({ env, values }) {
      await serve(env, { isDevelopment: values.dev === true })
      return undefined
    },
  },
  {
    name: 'worker',
    summary: 'Process received files (needs DATABASE_URL).',
    usage: '',
    details: ['Runs until it is stopped.'],
    // Not for people: by it serve spares its workers a trial that one of them has made.
    options: { sandbox: { type: 'string' } },
    isLongRunning: true,
    async run(call) {
      const given = textOption(call, 'sandbox')
      const found = SANDBOX_KINDS.find((kind) => kind === given)
      if (found !== given) throw new UsageError(`--sandbox takes ${SANDBOX_KINDS.join(', ')}`)
      await work(call.env, found)
      return undefined
    },
  },
  migrate,
  reap,
  recount,
  retry,
  webhooks,
  token,
  backup,
  restore,
  move,
  doctor,
]
