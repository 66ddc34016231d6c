/** How the tests of a mutation run: in the order given, one at a time, until one fails; each file is told as it ends. */
import { writeSync } from 'node:fs';
import { defineConfig } from 'vitest/config';

/** @type {string[]} */
const order = JSON.parse(process.env.MUTATION_TESTS ?? '[]');

/** @param {Readonly<Record<string, unknown>>} row */
const tell = (row) => void writeSync(1, `\u001e${JSON.stringify(row)}\n`);

class AsGiven {
  /** @param {import('vitest/node').TestSpecification[]} files */
  async shard(files) {
    return files;
  }
  /** @param {import('vitest/node').TestSpecification[]} files */
  async sort(files) {
    const place = (/** @type {import('vitest/node').TestSpecification} */ { moduleId }) =>
      order.findIndex((file) => moduleId.endsWith(`/${file}`));
    return [...files].sort((a, b) => place(a) - place(b));
  }
}

/** @param {import('vitest/node').TestModule} module */
function failureIn(module) {
  const [error] = module.errors();
  if (error !== undefined) return { test: '', message: error.message };
  for (const test of module.children.allTests('failed'))
    return { test: test.fullName, message: test.result().errors?.[0]?.message ?? '' };
  return { test: '', message: 'no test failed' };
}

/** @type {import('vitest/node').Reporter} */
const reporter = {
  onTestModuleStart: (module) => tell({ start: module.relativeModuleId }),
  onTestModuleEnd(module) {
    const failed = module.ok() ? {} : failureIn(module);
    tell({ end: module.relativeModuleId, ok: module.ok(), ...failed });
  },
  onTestRunEnd: (_modules, errors) =>
    tell({ over: errors.length === 0, message: errors[0]?.message ?? '', count: errors.length }),
};

export default defineConfig({
  test: {
    include: order.length === 0 ? ['test/**/*.test.ts'] : order,
    pool: 'forks',
    maxWorkers: 1,
    bail: 1,
    setupFiles: ['test/setup.ts'],
    testTimeout: 300_000,
    hookTimeout: 300_000,
    sequence: { sequencer: AsGiven },
    reporters: [reporter],
    watch: false,
    experimental: { fsModuleCache: true, fsModuleCachePath: '.mutation-cache' },
  },
});
