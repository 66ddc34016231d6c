/** The commands that write folders, on a model so small that each takes seconds, and what each leaves when it ends well. */
import { cpSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const MAIN = path.join(ROOT, 'dist/cli/main.js');
const MODEL = path.join(ROOT, 'test/golden/formats/llama-untied-f32');
const LARGER = path.join(ROOT, 'bench/models/tiny');

/** Rows of token ids below the model's 32. */
const ROWS = 40;
const LENGTH = 16;
const VOCABULARY = 32;

/**
 * @typedef {{
 *   readonly name: string,
 *   argv(work: string, out: string): readonly string[],
 *   prepare?(work: string, out: string): void,
 *   readonly results: readonly RegExp[],
 *   readonly stamped?: boolean,
 * }} Command
 *   argv takes the folder of inputs and the output folder; prepare puts there what the command works on;
 *   results are the files of which one has to be there at least, each, when it has ended with 0;
 *   stamped: every start makes a folder of its own in the one that is given
 */

const train =
  (/** @type {readonly string[]} */ ...more) =>
  (/** @type {string} */ work, /** @type {string} */ out) => [
    ...['train', '--model_name_or_path', path.join(work, 'model'), '--datasets', path.join(work, 'rows.jsonl')],
    ...['--output_dir', out, '--max_steps', '8', '--lora_r', '2', '--logging_steps', '1', ...more],
  ];
const ENDED = [/^config\.yaml$/, /^environment\.json$/, /^trainer_state\.json$/, /^run\.json$/];
const ADAPTER = [/^adapter_config\.json$/, /^adapter_model\.safetensors$/];
const REPORT = [/(^|\/)report\.md$/, /(^|\/)report\.html$/, /(^|\/)runs\.csv$/];
const RECORDS = [/(^|\/)lora-seed0\.run\.json$/, /(^|\/)qlora-seed0\.run\.json$/, /(^|\/)summary\.json$/];

/** @type {readonly Command[]} */
export const COMMANDS = [
  { name: 'train', argv: train('--save_strategy', 'steps', '--save_steps', '3'), results: [...ENDED, ...ADAPTER] },
  {
    name: 'train full',
    argv: train('--method', 'full'),
    results: [...ENDED, /^config\.json$/, /^model\.safetensors$/],
  },
  {
    name: 'quantize',
    argv: (work, out) => ['quantize', path.join(work, 'larger'), out, '--max_shard_size', '200KB'],
    results: [/^config\.json$/, /^model-00001-of-\d+\.safetensors$/, /^model\.safetensors\.index\.json$/],
  },
  {
    name: 'bench run',
    argv: (work, out) => ['bench', 'run', path.join(work, 'suite.yaml'), '--output', out],
    results: [...RECORDS, ...REPORT],
    stamped: true,
  },
  {
    name: 'bench report',
    argv: (_, out) => ['bench', 'report', out],
    prepare: (work, out) => cpSync(path.join(work, 'suite'), out, { recursive: true }),
    results: [...RECORDS, ...REPORT],
  },
  {
    name: 'bench report --output',
    argv: (work, out) => ['bench', 'report', path.join(work, 'suite'), '--output', out],
    results: [...REPORT],
  },
];

/** @param {readonly string[]} argv @returns the words of a process */
export const words = (argv) => [process.execPath, MAIN, ...argv];

/** Inputs of all commands but the suites that have run, which `bench run` makes. @param {string} work */
export function writeInputs(work) {
  mkdirSync(work, { recursive: true });
  cpSync(MODEL, path.join(work, 'model'), { recursive: true });
  cpSync(LARGER, path.join(work, 'larger'), { recursive: true });
  const rows = Array.from({ length: ROWS }, (_, i) => ({
    input_ids: Array.from({ length: LENGTH }, (_, j) => (i * 7 + j * 3) % VOCABULARY),
  }));
  writeFileSync(path.join(work, 'rows.jsonl'), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  writeFileSync(path.join(work, 'suite.yaml'), SUITE);
}

/** Keeps the suite that `bench run` has written for those that report it. @param {string} work */
export const keepSuite = (work) => (/** @type {string} */ out) =>
  cpSync(path.join(out, readdirSync(out)[0] ?? ''), path.join(work, 'suite'), { recursive: true });

const SUITE = `suite: kills
seeds: [0]
base:
  model_name_or_path: model
  datasets: [{ path: rows.jsonl }]
  eval_datasets: [{ path: rows.jsonl }]
  max_steps: 4
  lora_r: 2
arms:
  lora: { method: lora }
  qlora: { method: qlora }
`;
