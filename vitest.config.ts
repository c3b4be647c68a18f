import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { accountableForks } from './test/support/accountable-worker.ts';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Processes and not threads: some tests start servers, and one may set process-wide limits.
    pool: accountableForks,
    // Most of the time is spent waiting for servers: two at a time go well on two cores.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    testTimeout: 30_000,
    hookTimeout: 60_000,
    coverage: {
      include: ['src/**/*.ts'],
      exclude: ['src/gen/**'],
    },
  },
});
