import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/slow/**'],
    // Dawn's process-wide state survives only in a real process; two cores are the size CI has.
    pool: 'forks',
    maxWorkers: 2,
    setupFiles: ['test/setup.ts'],
    testTimeout: 240_000,
    hookTimeout: 240_000,
  },
});
