/** docs/from-python.md shows the programs that were run, and the same settings in YAML and in TypeScript. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { loadTrainConfig, type TrainSettings } from '../../src/config/index.ts';
import { blocks, PROGRAMS } from './from-python.ts';

describe.each(PROGRAMS)('%s', (name) => {
  const { python, yaml, ts } = blocks(name);

  test('the Python is that of test/golden/make/programs.py', () => {
    const run = new URL(`../golden/make/programs/${name}.py`, import.meta.url);
    expect(python).toBe(readFileSync(run, 'utf8'));
  });

  test('the TypeScript sets what the YAML sets', () => {
    let options: TrainSettings = {};
    const body = ts.replace("import { finetune } from 'nibble-tune';", '').replace('await finetune', 'finetune');
    new Function('finetune', body)((given: TrainSettings) => {
      options = given;
    });
    const { values } = loadTrainConfig({ file: { path: 'config.yaml', text: yaml } });
    expect(values.datasets).toEqual([{ path: 'train.jsonl' }]);
    expect(loadTrainConfig({ options }).values).toEqual(values);
  });
});
