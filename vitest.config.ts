import { defineConfig } from 'vitest/config';

/** On a machine that does other work at the same time a test of real sockets, disks and clients may once come too late. What is broken fails again. */
const retry = process.env.CI ? 1 : 0;

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'fast',
          retry,
          include: ['test/**/*.test.ts'],
          exclude: ['test/**/*.slow.test.ts', 'test/clients/**'],
          testTimeout: 20_000,
          hookTimeout: 30_000,
          // Much of it waits for sockets, disks and time limits; by default a machine with two cores would run one file at a time.
          maxWorkers: 3,
        },
      },
      {
        test: {
          name: 'clients',
          retry,
          include: ['test/clients/**/*.test.ts'],
          exclude: ['test/**/*.slow.test.ts'],
          testTimeout: 300_000,
          hookTimeout: 300_000,
          // Most of it is waiting for one program at a time.
          maxWorkers: 2,
        },
      },
      {
        test: {
          name: 'slow',
          include: ['test/**/*.slow.test.ts'],
          testTimeout: 600_000,
          hookTimeout: 300_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
