import { defineConfig } from 'vitest/config'

const rooms =
  'commands,server,hooks,processing,jobs,content,system,ledger,storage,migrations,client-demo,test,scripts,bench'

/** Files that hold a time of the clock against a bound: they run when all others have ended. */
const timed = 'test/timed/*.test.ts'

export default defineConfig({
  test: {
    globalSetup: 'test/services/global-setup.ts',
    // Tests start servers and kill them: a process of their own each. Two, because the machines that run them have two
    // cores and the services beside the tests need some.
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    // What is waited for comes when it comes: the default of a second is not for busy machines.
    expect: { poll: { timeout: 15_000 } },
    hookTimeout: 120_000,
    retry: 0,
    reporters: ['default', './test/reporter.ts'],
    projects: [
      {
        extends: true,
        test: {
          name: 'all',
          include: [
            ...rooms.split(',').map((room) => `${room}/**/*.test.{ts,tsx}`),
            // Beside an earlier release, which `npm run test:upgrade` names.
            ...(process.env.LANDFALL_EARLIER_CHECKOUT ? ['test/upgrade/upgrade.ts'] : []),
          ],
          exclude: ['**/node_modules/**', 'client-demo/dist/**', timed],
        },
      },
      {
        extends: true,
        test: { name: 'timed', include: [timed], maxWorkers: 1, sequence: { groupOrder: 1 } },
      },
    ],
  },
})
