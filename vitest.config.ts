import { defineConfig } from 'vitest/config'

/** `unit` needs nothing but Node and takes seconds; `system` runs on real daemons that the test lab starts. */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/unit/**/*.test.ts'],
          testTimeout: 10_000,
          // To load the product anew for each file takes as long as all that is tested.
          isolate: false,
          maxWorkers: '100%',
        },
      },
      {
        test: {
          name: 'system',
          include: ['test/{drivers,integration,e2e}/**/*.test.ts'],
          globalSetup: ['test/lab/setup.ts'],
          setupFiles: ['test/lab/after-each-file.ts'],
          testTimeout: 60_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
    ],
  },
})
