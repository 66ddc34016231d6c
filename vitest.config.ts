import { defineConfig } from 'vitest/config';
import LongestFirst from './test/longest-first.ts';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/slow/**'],
    // Dawn's process-wide state survives only in a real process; two cores are the size CI has.
    pool: 'forks',
    maxWorkers: 2,
    // small young generations let what a run allocates grow old, and be marked and swept for it
    execArgv: ['--max-semi-space-size=64'],
    sequence: { sequencer: LongestFirst },
    setupFiles: ['test/setup.ts'],
    testTimeout: 240_000,
    hookTimeout: 240_000,
  },
});
