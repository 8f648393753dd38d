import { defineConfig } from 'vitest/config'
import { isIntegrationTest, testFilesIn } from './test/services/test-kinds.ts'

const ROOMS = [
  'commands',
  'server',
  'hooks',
  'processing',
  'jobs',
  'content',
  'system',
  'ledger',
  'storage',
  'migrations',
  'client-demo',
  'test',
  'scripts',
  'bench',
]

/** Files that hold a time of the clock against a bound: they run when all others have ended. */
const isTimed = (file: string) => file.startsWith('test/timed/')

const files = testFilesIn(ROOMS)
const others = files.filter((file) => !isTimed(file))
// Beside an earlier release, which `npm run test:upgrade` names.
const upgrade = process.env.LANDFALL_EARLIER_CHECKOUT ? ['test/upgrade/upgrade.ts'] : []

export default defineConfig({
  test: {
    // Starts what the selected files need, and nothing where they are unit tests.
    globalSetup: 'test/services/global-setup.ts',
    maxWorkers: 2,
    testTimeout: 60_000,
    // What is waited for comes when it comes: the default of a second is not for busy machines.
    expect: { poll: { timeout: 15_000 } },
    hookTimeout: 120_000,
    retry: 0,
    reporters: ['default', './test/reporter.ts'],
    // `npm run coverage`: of what runs in the processes of the tests, not of servers and workers that they start.
    coverage: {
      provider: 'v8',
      include: ROOMS.filter((room) => !['test', 'scripts', 'bench'].includes(room)).map(
        (room) => `${room}/**/*.{ts,tsx}`,
      ),
      exclude: ['**/*.test.{ts,tsx}', 'client-demo/dist/**'],
      reporter: ['text-summary', 'html', 'json-summary'],
      reportsDirectory: '.runtime/coverage',
    },
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: others.filter((file) => !isIntegrationTest(file)),
          pool: 'threads',
          isolate: false,
          // One that takes longer waits for a service or for time to pass, and is none of these.
          testTimeout: 10_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'integration',
          include: [...others.filter(isIntegrationTest), ...upgrade],
          // Tests start servers and kill them: a process of their own each. Two, because the machines that run them have
          // two cores and the services beside the tests need some.
          pool: 'forks',
        },
      },
      {
        extends: true,
        test: {
          name: 'timed',
          include: files.filter(isTimed),
          pool: 'forks',
          maxWorkers: 1,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
})
