#!/usr/bin/env node
/**
 * `profile.mjs FOLDER MODEL [--SETTING VALUE ...]`: two steps of QLoRA as the suite of Llama-2-7B has it, and a third of
 * which every dispatch is timed. Prints where its time went, by kernel and variant, as JSON; the trace itself is not kept.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { resolveBuiltins } from '#dist/bench/builtin.js';
import { byKernel } from './figures.mjs';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const [folder, model, ...settings] = process.argv.slice(2);
if (model === undefined) {
  console.error('gpu-host-profile: give a folder for its run and a model, such as builtin:random-llama-2-7b');
  process.exit(2);
}
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
