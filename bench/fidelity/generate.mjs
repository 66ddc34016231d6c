#!/usr/bin/env node
/** Greedy generation with SmolLM2-135M-Instruct, 128 tokens: `nibble generate` against transformers and PEFT, three bases, with and without an adapter. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { openNodeRuntime } from '#dist/node/runtime.js';
import { chosenDevice, nameOf } from '../shared/device.mjs';
import { ROOT } from '../shared/record.mjs';
import { tokenFigure } from './greedy.mjs';
import { options, python, record, withScratch } from './peer.mjs';

/** @typedef {import('./greedy.mjs').Form} Form */

const TOKENS = 128;
/** @type {Record<Form, { folder: string, what: string }>} */
const FORMS = {
  f32: { folder: 'model-f32', what: 'float32 base' },
  bf16: { folder: 'model', what: 'bfloat16 base' },
  '4bit': { folder: 'bnb-4bit', what: 'bnb-4bit base (NF4, double quantization)' },
};

/** @param {string} root @param {Form} form @returns {{ token_ids: number[], prompt_tokens: number }[]} */
function generated(root, form) {
  const file = path.join(root, `nibble-${form}.jsonl`);
  if (!existsSync(file)) {
    console.error(`nibble generate, ${FORMS[form].what}`);
    const given = [
      ...['--adapter', `${path.join(root, 'adapter-init')}=a`, '--prompts', path.join(root, 'prompts.jsonl')],
      ...['--batch_size', '4', '--max_new_tokens', `${TOKENS}`, '--temperature', '0', '--ignore_eos', '--json'],
    ];
    const cli = path.join(ROOT, 'dist/cli/main.js');
    const { status, stdout } = spawnSync(
      process.execPath,
      [cli, 'generate', path.join(root, FORMS[form].folder), ...given],
      { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], env: { NIBBLE_DEVICE: 'lavapipe', ...process.env } },
    );
    if (status !== 0) throw new Error(`nibble generate ended with ${status}`);
    writeFileSync(`${file}.tmp`, stdout);
    renameSync(`${file}.tmp`, file);
  }
  return readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

const given = options(
  'generate',
  'Takes some minutes of a CPU and 1.5 GB of scratch; what --scratch has from an earlier call is used. NIBBLE_DEVICE: lavapipe.',
);
await withScratch(given, async (root) => {
  if (!existsSync(path.join(root, 'prompts.jsonl'))) python(given, 'smollm2_generate.py', 'models', root);
  if (!existsSync(path.join(root, 'greedy.json'))) python(given, 'smollm2_generate.py', 'greedy', root);
  /** @type {import('./greedy.mjs').Reference} */
  const { tie, versions, forms } = JSON.parse(readFileSync(path.join(root, 'greedy.json'), 'utf8'));
  const runtime = await openNodeRuntime(chosenDevice('lavapipe'));
  const adapter = nameOf(runtime.device);
  await runtime.close();
  const figures = /** @type {Form[]} */ (Object.keys(FORMS)).flatMap((form) => {
    const rows = generated(root, form);
    return forms[form].map((want, i) => {
      if (rows[i].prompt_tokens !== want.input_ids.length)
        throw new Error(`"${want.prompt}" has ${rows[i].prompt_tokens} tokens here, ${want.input_ids.length} there`);
      return tokenFigure(FORMS[form].what, rows[i].token_ids, want, { tie, count: TOKENS });
    });
  });
  const title = `Greedy tokens of SmolLM2-135M-Instruct against transformers and PEFT, in float32; a lead below ${tie} counts as a tie`;
  record(given, 'generate', { row: 7, title, adapter, versions, figures });
});
