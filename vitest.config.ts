import { defineConfig } from 'vitest/config'

const alone = 'test/{drivers,integration,e2e}/**/*.alone.test.ts'
const system = {
  globalSetup: ['test/lab/setup.ts'],
  setupFiles: ['test/lab/environment.ts'],
  testTimeout: 300_000,
  hookTimeout: 300_000,
  // Real daemons on a shared machine: one lost race fails no run of an hour. test/lab/second-tries.ts lists each.
  retry: 1,
}

/**
 * `unit` needs nothing but Node and takes seconds; the others run on real daemons that the test lab starts. Files of
 * `alone` take bus, store or many processes down under load: nothing else runs beside them.
 */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/unit/**/*.test.ts', 'packages/*/test/*.test.ts'],
          setupFiles: ['test/lab/environment.ts'],
          testTimeout: 60_000,
          // To load the product anew for each file takes as long as all that is tested.
          isolate: false,
          maxWorkers: '100%',
        },
      },
      {
        test: {
          ...system,
          name: 'system',
          include: ['test/{drivers,integration,e2e}/**/*.test.ts', 'packages/*/test/system/*.test.ts'],
          exclude: [alone],
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
      { test: { ...system, name: 'alone', include: [alone], maxWorkers: 1, sequence: { groupOrder: 2 } } },
    ],
  },
})
