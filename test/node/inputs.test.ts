/** config.yaml works from any directory. Missing files are tested through the command line (test/e2e). */
import path from 'node:path';
import { expect, test } from 'vitest';
import { loadTrainConfig, printConfig } from '../../src/config/index.ts';
import { withAbsolutePaths } from '../../src/node/inputs.ts';

const YAML = `model_name_or_path: ./llama
adapter_name_or_path: ../adapter
output_dir: out
datasets: [{path: a.jsonl}, {path: /data/b.jsonl}]
eval_datasets: [{path: sub/e.jsonl}]
`;

test('every path becomes whole, everything else and every origin stays', () => {
  const given = loadTrainConfig({ file: { path: 'run.yaml', text: YAML } });
  const whole = withAbsolutePaths(given);
  const at = (name: string) => path.join(process.cwd(), name);
  expect(whole).toEqual({
    ...given,
    values: {
      ...given.values,
      model_name_or_path: at('llama'),
      adapter_name_or_path: path.join(path.dirname(process.cwd()), 'adapter'),
      output_dir: at('out'),
      datasets: [
        { ...given.values.datasets[0], path: at('a.jsonl') },
        { ...given.values.datasets[1], path: '/data/b.jsonl' },
      ],
      eval_datasets: [{ ...given.values.eval_datasets[0], path: at('sub/e.jsonl') }],
    },
  });
  const text = printConfig(whole);
  expect(text).toMatch(new RegExp(`^model_name_or_path: ${at('llama')} +# run.yaml:1$`, 'm'));
  const again = loadTrainConfig({ file: { path: 'config.yaml', text } });
  expect(again.values).toEqual(whole.values);
  expect(again.notices).toEqual([]);
});
