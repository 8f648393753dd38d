import type { Command } from './command.ts'

/** A command: its name, its line in the overview, and its module. */
export type Entry = readonly [name: string, summary: string, load: () => Promise<{ command: Command }>]

/**
 * Every command of `landfall`, in the order of the overview. Each is loaded when it is called: loading a server takes
 * two seconds of processor time, and most commands need little of it.
 */
export const COMMANDS: readonly Entry[] = [
  ['serve', 'Serve uploads, the API and the page.', () => import('./serve.ts')],
  ['worker', 'Process received files (needs DATABASE_URL).', () => import('./worker.ts')],
  ['migrate', 'Bring the database up to date and exit.', () => import('./migrate.ts')],
  ['reap', 'Expire uploads and purge deleted media items now.', () => import('./reap.ts')],
  ['recount', 'Correct the usage counters of all owners.', () => import('./recount.ts')],
  ['retry', 'Retry media items that failed because of the server.', () => import('./retry.ts')],
  ['webhooks', 'List and replay webhook deliveries, re-enable an endpoint.', () => import('./webhooks.ts')],
  [
    'token',
    'Print a token signed with AUTH_JWT_SECRET or the development secret.',
    () => import('./token.ts'),
  ],
  ['backup', 'Back up the database and the objects below DATA_DIR to a folder.', () => import('./backup.ts')],
  ['restore', 'Restore a backup into an empty DATA_DIR.', () => import('./restore.ts')],
  ['move', 'Move finished files between disk and bucket.', () => import('./move.ts')],
  ['doctor', 'Check the configuration and every service that it names.', () => import('./doctor.ts')],
]
