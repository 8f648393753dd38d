import type { Command } from './command.ts'

export type Entry = {
  name: string
  /** One line of the overview. */
  summary: string
  load(): Promise<Command>
}

/**
 * Every command of `landfall`, in the order of its overview. Each is loaded when it is called: most need little of what
 * a server needs, which takes two seconds of processor time to load.
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
    summary: 'End expired uploads and purge deleted media now.',
    load: async () => (await import('./reap.ts')).reap,
  },
  {
    name: 'recount',
    summary: 'Set the counters of what owners use to what the rows say.',
    load: async () => (await import('./recount.ts')).recount,
  },
  {
    name: 'retry',
    summary: 'Process again what failed for reasons of the server.',
    load: async () => (await import('./retry.ts')).retry,
  },
  {
    name: 'webhooks',
    summary: 'List webhook deliveries, send one again, enable an endpoint.',
    load: async () => (await import('./webhooks.ts')).webhooks,
  },
  {
    name: 'token',
    summary: 'Print a token signed with AUTH_JWT_SECRET, or as npm start signs them.',
    load: async () => (await import('./token.ts')).token,
  },
  {
    name: 'backup',
    summary: 'Copy the database and the objects below DATA_DIR into a folder.',
    load: async () => (await import('./backup.ts')).backup,
  },
  {
    name: 'restore',
    summary: 'Fill an empty DATA_DIR with a backup.',
    load: async () => (await import('./restore.ts')).restore,
  },
  {
    name: 'move',
    summary: 'Move finished files to the bucket, or from there to the disk.',
    load: async () => (await import('./move.ts')).move,
  },
  {
    name: 'doctor',
    summary: 'Check the configuration and what it leads to, and say what is wrong.',
    load: async () => (await import('./doctor.ts')).doctor,
  },
]
