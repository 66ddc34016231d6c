#!/usr/bin/env node
/** GPU time of a step of QLoRA, as the suite of Llama-2-7B has it, by kernel and variant. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';
import { resolveBuiltins } from '#dist/bench/builtin.js';
import { refuse } from '../shared/options.mjs';
import { ROOT } from '../shared/record.mjs';
import { byKernel } from './by-kernel.mjs';

const USAGE = `usage: node bench/gpu-host/profile.mjs FOLDER MODEL [--SETTING VALUE ...]
Runs two steps and a third in which every dispatch is timed, and prints where its time went as JSON; the trace is not kept.
  FOLDER  gets the run's files
  MODEL   such as builtin:random-llama-2-7b
Settings are those of nibble train.`;

// settings are passed on as they are, so that node:util's parser has nothing to read
const [folder, model, ...settings] = process.argv.slice(2);
if (folder === '--help' || folder === '-h') {
  console.log(USAGE);
  process.exit(0);
}
if (folder === undefined || model === undefined) refuse(`wanted a folder and a model\n${USAGE}`);
const suite = parse(readFileSync(path.join(ROOT, 'bench/suites/speed-llama-2-7b.yaml'), 'utf8'));
const wanted = {
  ...suite.base,
  ...suite.arms.qlora,
  model_name_or_path: model,
  max_steps: 2,
  seed: 0,
  eval_datasets: [],
};
const { config } = await resolveBuiltins(wanted, path.join(folder, 'data'));
const { eval_datasets: _, ...values } = config;
mkdirSync(folder, { recursive: true });
// JSON is YAML
const file = path.join(folder, 'config.yaml');
writeFileSync(file, JSON.stringify({ ...values, output_dir: path.join(folder, 'run') }, null, 2));
const trace = path.join(folder, 'trace.json');
const { status } = spawnSync(
  process.execPath,
  [path.join(ROOT, 'dist/cli/main.js'), 'train', file, '--profile', trace, ...settings],
  { stdio: ['ignore', 2, 2] },
);
if (status !== 0) process.exit(status ?? 1);
const { traceEvents } = JSON.parse(readFileSync(trace, 'utf8'));
rmSync(trace);
rmSync(path.join(folder, 'run'), { recursive: true });
console.log(JSON.stringify({ model: path.basename(config.model_name_or_path), ...byKernel(traceEvents) }, null, 2));
