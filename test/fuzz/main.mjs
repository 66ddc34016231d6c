/** npm run fuzz -- --runs 20000 --seed 7 [--reader tokenizer]: feeds every reader with inputs that are a little wrong. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: { runs: { type: 'string' }, seed: { type: 'string' }, reader: { type: 'string' } },
});
const root = fileURLToPath(new URL('../../', import.meta.url));
const vitest = fileURLToPath(new URL('../../node_modules/vitest/vitest.mjs', import.meta.url));
const env = {
  ...process.env,
  NIBBLE_TEST_FUZZ_RUNS: values.runs ?? '20000',
  NIBBLE_TEST_FUZZ_SEED: values.seed ?? '1',
  NIBBLE_TEST_FUZZ_READER: values.reader ?? '',
};
const args = [
  vitest,
  'run',
  '--config',
  'vitest.slow.config.ts',
  'test/slow/fuzz.test.ts',
  '--disable-console-intercept',
];
const { status } = spawnSync(process.execPath, args, { cwd: root, env, stdio: 'inherit' });
process.exit(status ?? 1);
