import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: ['*.nemesis.ts'],
    pool: 'forks',
    // What a run says of itself is wanted while the runs go on.
    disableConsoleIntercept: true,
  },
});
