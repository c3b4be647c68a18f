import { defineConfig } from 'vitest/config';
import { accountableForks } from '../support/accountable-worker.ts';

export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: ['*.nemesis.ts'],
    pool: accountableForks,
    // What a run says of itself is wanted while the runs go on.
    disableConsoleIntercept: true,
  },
});
