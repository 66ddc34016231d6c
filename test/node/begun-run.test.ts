/** What an unattended run finds in its folder: nothing, a run of the same settings, or another one. */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { loadTrainConfig, printConfig, type TrainSettings } from '../../src/config/index.ts';
import { ConfigError } from '../../src/errors.ts';
import { standingOf, waitForClaim } from '../../src/node/begun-run.ts';
import { CLAIM_FILE, ownClaim } from '../../src/node/claim-file.ts';
import { withAbsolutePaths } from '../../src/node/inputs.ts';
import { directory } from '../e2e/nibble.ts';
import { rejection } from '../formats/files.ts';

const root = directory();
const ROWS = path.join(root, 'rows.jsonl');
writeFileSync(ROWS, '{"text": "a"}\n');
const config = (output_dir: string, more: TrainSettings = {}) =>
  loadTrainConfig({
    options: { model_name_or_path: root, output_dir, datasets: [{ path: ROWS }], max_steps: 4, ...more },
  });

/** Makes the folder of a run as it is after its first step, with files that come later. */
function begun(name: string, later: readonly string[] = [], more: TrainSettings = {}): string {
  const folder = path.join(root, name);
  mkdirSync(folder);
  writeFileSync(path.join(folder, 'config.yaml'), printConfig(withAbsolutePaths(config(folder, more))));
  for (const file of later) writeFileSync(path.join(folder, file), '{}');
  return folder;
}

test('a folder that holds no run is one to begin in', async () => {
  expect(await standingOf(config(path.join(root, 'new')))).toBe('none');
});

test('a run is begun until its record is there, and again where it was interrupted', async () => {
  expect(await standingOf(config(begun('cut')))).toBe('begun');
  expect(await standingOf(config(begun('ended', ['run.json'])))).toBe('finished');
  expect(await standingOf(config(begun('stopped', ['run.json', 'interrupted.json'])))).toBe('begun');
});

test('other limits of time and memory are the same run; other settings are refused by name', async () => {
  const folder = begun('same');
  expect(await standingOf(config(folder, { max_minutes: 5, max_gpu_memory: '4GB' }))).toBe('begun');
  const error = await rejection(standingOf(config(folder, { learning_rate: 1e-3, lora_r: 4 })));
  expect(error).toBeInstanceOf(ConfigError);
  expect((error as ConfigError).problems.map(({ path }) => path).sort()).toEqual(['learning_rate', 'lora_r']);
  expect(error.message).toContain(`learning_rate: got 0.001, and the run in ${folder} has 0.00005`);
});

test('what the device decided is no difference', async () => {
  const folder = path.join(root, 'bf16');
  mkdirSync(folder);
  const settled = config(folder, { fp16: false, bf16: true, bf16_as: 'float32' });
  writeFileSync(path.join(folder, 'config.yaml'), printConfig(withAbsolutePaths(settled)));
  expect(await standingOf(config(folder, { bf16: true }))).toBe('begun');
  await expect(standingOf(config(folder, { bf16: true, bf16_as: 'float16' }))).rejects.toThrow('bf16_as');
});

test('a name on the hub is the same one at the commit that the folder keeps', async () => {
  const folder = path.join(root, 'hub');
  mkdirSync(folder);
  const commit = 'a'.repeat(40);
  const asked = { model_name_or_path: 'org/model', datasets: [{ path: 'org/rows' }] };
  const kept = { ...asked, model_revision: commit, datasets: [{ path: 'org/rows', split: 'train', revision: commit }] };
  const isName = { has: (name: string) => name.startsWith('org/') };
  writeFileSync(path.join(folder, 'config.yaml'), printConfig(withAbsolutePaths(config(folder, kept), isName)));
  expect(await standingOf(config(folder, asked))).toBe('begun');
  const other = standingOf(config(folder, { ...asked, model_revision: 'b'.repeat(40) }));
  await expect(other).rejects.toThrow('model_revision: got "bbb');
  const rows = standingOf(config(folder, { ...asked, datasets: [{ path: 'org/more' }] }));
  await expect(rows).rejects.toThrow('datasets: got');
});

test('a claim of a container that gives no sign is waited for; one of this machine is not', async () => {
  const folder = begun('claimed');
  const claim = await ownClaim();
  const write = (more: object) => writeFileSync(path.join(folder, CLAIM_FILE), JSON.stringify({ ...claim, ...more }));
  const notes: string[] = [];
  const waiting = {
    signal: new AbortController().signal,
    note: (text: string) => notes.push(text),
    limitMs: 60,
    pollMs: 20,
  };
  write({ space: 'elsewhere', host: 'pod-7' });
  const before = performance.now();
  await waitForClaim(folder, waiting);
  expect(performance.now() - before).toBeGreaterThan(50);
  expect(notes).toEqual([`${folder} was being written on pod-7; if that was killed, this is known in 1 s`]);
  write({});
  await waitForClaim(folder, { ...waiting, limitMs: 60_000 });
  expect(notes).toHaveLength(1);
});
