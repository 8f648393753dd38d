import type { Command } from './command.ts'

export type Entry = {
  name: string
  /** Its line in the overview. */
  summary: string
  load(): Promise<Command>
}

/**
 * Every command of `landfall`, in the order of the overview. Each is loaded when it is called: loading a server takes
 * two seconds of processor time, and most commands need little of it.
 */
export const COMMANDS: readonly Entry[] = [
  {
    name: 'serve',
    summary: 'Serve uploads, the API and the page.',
    load: async () => (await import('./serve.ts')).serveCommand,
  },
  {
    name: 'worker',
    summary: 'Process received files (needs DATABASE_URL).',
    load: async () => (await import('./worker.ts')).workerCommand,
  },
  {
    name: 'migrate',
    summary: 'Bring the database up to date and exit.',
    load: async () => (await import('./migrate.ts')).migrate,
  },
  {
    name: 'reap',
    summary: 'Expire uploads and purge deleted media items now.',
    load: async () => (await import('./reap.ts')).reap,
  },
  {
    name: 'recount',
    summary: 'Correct the usage counters of all owners.',
    load: async () => (await import('./recount.ts')).recount,
  },
  {
    name: 'retry',
    summary: 'Retry media items that failed because of the server.',
    load: async () => (await import('./retry.ts')).retry,
  },
  {
    name: 'webhooks',
    summary: 'List and replay webhook deliveries, re-enable an endpoint.',
    load: async () => (await import('./webhooks.ts')).webhooks,
  },
  {
    name: 'token',
    summary: 'Print a token signed with AUTH_JWT_SECRET or the development secret.',
    load: async () => (await import('./token.ts')).token,
  },
  {
    name: 'backup',
    summary: 'Back up the database and the objects below DATA_DIR to a folder.',
    load: async () => (await import('./backup.ts')).backup,
  },
  {
    name: 'restore',
    summary: 'Restore a backup into an empty DATA_DIR.',
    load: async () => (await import('./restore.ts')).restore,
  },
  {
    name: 'move',
    summary: 'Move finished files between disk and bucket.',
    load: async () => (await import('./move.ts')).move,
  },
  {
    name: 'doctor',
    summary: 'Check the configuration and every service that it names.',
    load: async () => (await import('./doctor.ts')).doctor,
  },
]
