/** `nibble advise`: its words, its JSON, rows of datasets, and what it refuses. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { adviseCommand } from '../../src/cli/advise/command.ts';
import { runAdvise } from '../../src/cli/advise/run.ts';
import { makeRun } from '../report/fixture.ts';
import { nibble } from './fakes.ts';

const MODEL = new URL('../golden/llama/untied-gqa-f32', import.meta.url).pathname;
const root = mkdtempSync(path.join(os.tmpdir(), 'nibble-advise-'));
afterAll(() => rmSync(root, { recursive: true }));

const advise = (...argv: string[]) =>
  nibble(['advise', ...argv], [(context) => adviseCommand(context, runAdvise)], { env: { NO_COLOR: '1' } });

test('an answer with its arithmetic, and what was assumed', async () => {
  const { code, stdout, stderr } = await advise(MODEL, '--gpu', '8gb', '--results', root);
  expect([code, stderr]).toEqual([0, '']);
  expect(stdout).toMatch(
    /^LoRA: at 1 x 64 tokens, [\d.]+ MiB of weights \+ .* the 7\.20 GiB that an 8 GB card is taken to/,
  );
  expect(stdout).toContain("- 90 % of a card's memory is taken as free");
  expect(stdout).toContain(
    '- Assumed, since nothing was set: per_device_train_batch_size 1, max_length 2048, lora_r 16',
  );
});

test('rows of datasets, and ratios of records, as JSON', async () => {
  const rows = path.join(root, 'rows.jsonl');
  writeFileSync(rows, `${JSON.stringify({ input_ids: [1, 2, 3, 4, 5] })}\n`.repeat(4));
  const results = path.join(root, 'results', 'one');
  mkdirSync(results, { recursive: true });
  for (const arm of ['lora', 'qlora'] as const)
    writeFileSync(path.join(results, `${arm}-seed0.run.json`), JSON.stringify(makeRun(arm, 0)));
  const flags = ['--gpu', 'm3-max-64', '--datasets', rows, '--results', path.join(root, 'results'), '--json'];
  const { code, stdout, stderr } = await advise(MODEL, ...flags, '--gpus', '2', '--adapters', '3');
  expect([code, stderr]).toEqual([0, '']);
  const { method, rule, sentences, figures, datasets } = JSON.parse(stdout);
  expect({ method, rule, datasets }).toEqual({
    method: 'lora',
    rule: 'many_adapters',
    datasets: '4 rows of 20 tokens, the longest of 5: max_length 64 is planned for',
  });
  expect(figures).toMatchObject({ gpus: 2, max_length: 64, card: 'an Apple M3 Max with 64 GB' });
  expect(figures.assumed).not.toHaveProperty('max_length');
  expect(sentences.join('\n')).toContain(`${results} measured`);
});

test('what is wrong is said once, with what is wanted', async () => {
  const said = async (...argv: string[]) => {
    const { code, stdout, stderr } = await advise(...argv);
    expect([code, stdout]).toEqual([2, '']);
    return stderr;
  };
  expect(await said(MODEL)).toContain("required option '--gpu <card>' not specified");
  expect(await said(MODEL, '--gpu', '24', '--gpus', '0')).toContain('wanted a whole number of at least 1');
  expect(await said(MODEL, '--gpu', 'gtx')).toContain('--gpu: got "gtx", wanted the size of its memory');
  expect(await said(MODEL, '--gpu', '24', '--results', path.join(root, 'none'))).toContain('is no folder; give one');
  expect(await said(path.join(root, 'no-model'), '--gpu', '24')).toContain('no-model');
});
