/** Models, adapters and datasets by their names on the hub, through the commands, against a hub on this machine. */
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { adaptersCommand } from '../../src/cli/adapters/command.ts';
import { runCombine, runInspect } from '../../src/cli/adapters/run.ts';
import { dataCommand } from '../../src/cli/data/command.ts';
import { runPreview } from '../../src/cli/data/run.ts';
import { estimateCommand } from '../../src/cli/estimate/command.ts';
import { runEstimate, runGenerateEstimate } from '../../src/cli/estimate/run.ts';
import { exportCommand } from '../../src/cli/export/command.ts';
import { runExport } from '../../src/cli/export/run.ts';
import { mergeCommand } from '../../src/cli/merge/command.ts';
import { runMerge } from '../../src/cli/merge/run.ts';
import { nibble } from '../cli/fakes.ts';
import { type FakeHub, fakeHub } from '../node/hub/server.ts';
import { learnableRows } from '../train/run.ts';
import { contentOf, directory, GOLDEN, nibbleTrain } from './nibble.ts';

const MODEL = path.join(GOLDEN, 'llama/untied-gqa-f32');
const COMMIT = 'c'.repeat(40);
const ROWS = 'd'.repeat(40);
function filesOf(folder: string): Record<string, Buffer> {
  const names = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isFile());
  return Object.fromEntries(names.map(({ name }) => [name, readFileSync(path.join(folder, name))]));
}

const work = directory();
const saved = { ...process.env };
let hub: FakeHub;
const adapter: Record<string, Buffer> = {};
beforeAll(async () => {
  const readme =
    '---\nconfigs:\n- config_name: en\n  data_files:\n  - {split: train, path: en/*.jsonl}\n  - {split: test, path: en/last.json}\n---\n';
  hub = await fakeHub([
    { type: 'model', id: 'org/llama', commit: COMMIT, files: filesOf(MODEL), lfsBytes: 1000 },
    { type: 'model', id: 'org/adapter', commit: COMMIT, files: adapter },
    {
      type: 'dataset',
      id: 'org/rows',
      commit: ROWS,
      files: {
        'README.md': readme,
        'en/a.jsonl': learnableRows(1, 12, 16, 32),
        'en/b.jsonl': learnableRows(3, 8, 16, 32),
        'en/last.json': learnableRows(2, 4, 16, 32),
        'de/a.jsonl': '{}',
      },
    },
  ]);
  process.env.HF_ENDPOINT = hub.url;
  process.env.HF_HOME = path.join(work, 'hf');
  delete process.env.HF_HUB_OFFLINE;
});
afterAll(async () => {
  process.env = saved;
  await hub.close();
});

const run = (...argv: readonly string[]) =>
  nibble(argv, [
    (context) => estimateCommand(context, runEstimate, runGenerateEstimate),
    (context) => dataCommand(context, runPreview),
    (context) => mergeCommand(context, runMerge),
    (context) => exportCommand(context, runExport),
    (context) => adaptersCommand(context, { inspect: runInspect, combine: runCombine }),
  ]);
const settings = (output: string) => [
  '--output_dir',
  path.join(work, output),
  '--max_steps',
  '1',
  '--save_strategy',
  'no',
  '--per_device_train_batch_size',
  '4',
];
const resolved = (): string[] => hub.requests.flatMap(({ path: at }) => /\/resolve\/\w+\/(.*)$/.exec(at)?.[1] ?? []);

test('an estimate fetches config.json alone', async () => {
  const { code, stdout, stderr } = await run(
    'estimate',
    'org/llama',
    '--max_length',
    '32',
    '--lora_target_modules',
    'all-linear',
  );
  expect([code, stderr]).toEqual([0, expect.stringContaining('fetching config.json of org/llama')]);
  expect(stdout).toContain('org/llama/config.json, float16');
  expect(resolved()).toEqual(['config.json']);
});

test('a run says what it came from, and its config.yaml repeats it to the byte, offline', async () => {
  const names = ['--model_name_or_path', 'org/llama', '--datasets', 'org/rows', '--dataset_config', 'en'];
  const target = ['--lora_target_modules', 'all-linear', '--eval_datasets', '[{path: org/rows, split: test}]'];
  const first = await nibbleTrain(...settings('first'), ...names, ...target);
  expect([first.code, first.stderr]).toEqual([0, expect.stringContaining('fetching')]);
  expect(resolved().filter((file) => file.startsWith('de/'))).toEqual([]);
  const out = path.join(work, 'first');
  const config = readFileSync(path.join(out, 'config.yaml'), 'utf8');
  expect(config).toContain('model_name_or_path: org/llama');
  expect(config).toContain(`model_revision: ${COMMIT}`);
  expect(config).toMatch(/org\/rows.*\b(train|test)\b.*\ben\b.*revision\W+d{40}/);
  expect(config).not.toContain('snapshots');
  const record = JSON.parse(readFileSync(path.join(out, 'run.json'), 'utf8'));
  expect(record.meta_info.model_info).toMatchObject({ id: 'org/llama', revision: COMMIT });
  expect(record.meta_info.dataset_info).toMatchObject({
    'train[0] a.jsonl': { revision: ROWS },
    'train[1] b.jsonl': { revision: ROWS },
    'eval[0] last.json': { revision: ROWS },
  });
  expect(JSON.stringify(record)).not.toContain(path.join(work, 'hf'));
  const peft = JSON.parse(readFileSync(path.join(out, 'adapter_config.json'), 'utf8'));
  expect(peft.base_model_name_or_path).toBe('org/llama');
  hub.requests.length = 0;
  const again = await nibbleTrain(path.join(out, 'config.yaml'), '--output_dir', path.join(work, 'again'), '--offline');
  expect([again.code, hub.requests], again.stderr).toEqual([0, []]);
  const weights = (of: string) => contentOf(path.join(work, of))['adapter_model.safetensors'];
  expect(weights('again')).toBe(weights('first'));
  Object.assign(adapter, filesOf(out));
});

test('rows are shown without the weights', async () => {
  process.env.HF_HOME = path.join(work, 'other');
  mkdirSync(process.env.HF_HOME);
  hub.requests.length = 0;
  const { code, stdout } = await run(
    'data',
    'preview',
    '--model_name_or_path',
    'org/llama',
    '--datasets',
    'org/rows',
    '--json',
  );
  expect([code, stdout.split('\n').length]).toEqual([0, 21]);
  expect(resolved().filter((file) => file.endsWith('safetensors'))).toEqual([]);
  process.env.HF_HOME = path.join(work, 'hf');
});

test('an adapter on the hub is merged into a model on the hub', async () => {
  const merged = path.join(work, 'merged');
  const { code, stderr } = await run('merge', 'org/llama', 'org/adapter', merged);
  expect([code, stderr], stderr).toEqual([0, expect.stringContaining('of org/adapter')]);
  expect(readdirSync(merged)).toContain('config.json');
});

test('an adapter on the hub is exported and added up with config.json of the base that it names, and no weights', async () => {
  process.env.HF_HOME = path.join(work, 'fourth');
  hub.requests.length = 0;
  const gguf = path.join(work, 'a.gguf');
  const exported = await run('export', 'org/adapter', '--gguf', gguf);
  expect([exported.code, exported.stdout], exported.stderr).toEqual([0, expect.stringContaining('of llama adapted')]);
  const sum = path.join(work, 'sum');
  const combined = await run('adapters', 'combine', sum, '--adapter', 'org/adapter=0.5');
  expect([combined.code, readdirSync(sum)], combined.stderr).toEqual([
    0,
    expect.arrayContaining(['adapter_config.json', 'adapter_model.safetensors']),
  ]);
  expect(resolved().filter((file) => file.startsWith('model'))).toEqual([]);
  const inspected = await run('adapters', 'inspect', 'org/adapter', '--json');
  expect(JSON.parse(inspected.stdout)).toMatchObject({ adapter: 'org/adapter', model: null });
  const beside = await run('adapters', 'inspect', 'org/adapter', '--model', 'org/llama', '--json');
  expect(JSON.parse(beside.stdout).targets[0].weight_norm).toBeGreaterThan(0);
  hub.requests.length = 0;
  const offline = await run('export', 'org/adapter', '--gguf', path.join(work, 'b.gguf'), '--offline');
  expect([offline.code, hub.requests], offline.stderr).toEqual([0, []]);
  process.env.HF_HOME = path.join(work, 'hf');
});

test('a dataset that does not do is refused where it is named, before the weights are fetched', async () => {
  process.env.HF_HOME = path.join(work, 'third');
  hub.requests.length = 0;
  const asked = ['--model_name_or_path', 'org/llama', '--datasets', '[{path: org/rows, name: fr}, {path: org/gone}]'];
  const { code, stderr } = await nibbleTrain(...settings('refused'), ...asked);
  expect(code).toBe(2);
  expect(stderr).toContain(
    'datasets[0].path: org/rows (revision main) has no configuration fr; it has en (--datasets)',
  );
  expect(stderr).toMatch(
    /datasets\[1\]\.path: there is no file or folder org\/gone in .*, and no dataset org\/gone on /,
  );
  expect(resolved()).toEqual(['README.md']);
  process.env.HF_HOME = path.join(work, 'hf');
});
