import { defineConfig } from 'vitest/config';
import LongestFirst from './test/longest-first.ts';

/** Rooms whose tests touch neither a GPU nor the process: one process runs many of their files, which loads the code once. */
const SHARED = ['adapters', 'cli', 'config', 'data', 'formats', 'report', 'results', 'structure', 'wasm'].map(
  (room) => `test/${room}/**/*.test.ts`,
);

export default defineConfig({
  test: {
    // Dawn's process-wide state survives only in a real process; two cores are the size CI has.
    pool: 'forks',
    maxWorkers: 2,
    // small young generations let what a run allocates grow old, and be marked and swept for it
    execArgv: ['--max-semi-space-size=64'],
    sequence: { sequencer: LongestFirst },
    setupFiles: ['test/setup.ts'],
    testTimeout: 240_000,
    hookTimeout: 240_000,
    projects: [
      {
        extends: true,
        test: { name: 'isolated', include: ['test/**/*.test.ts'], exclude: ['test/slow/**', ...SHARED] },
      },
      { extends: true, test: { name: 'shared', include: SHARED, isolate: false } },
    ],
  },
});
