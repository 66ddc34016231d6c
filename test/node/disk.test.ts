/** What a run will write is asked for before its first step: room for it, and the file of --profile. */
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { runSuite } from '../../src/bench/run-suite.ts';
import { loadSuite, loadTrainConfig } from '../../src/config/index.ts';
import { ConfigError, DataError } from '../../src/errors.ts';
import type { DeviceChoice } from '../../src/node/device-choice.ts';
import { freeBytesAt, requireRoom, requireWritable } from '../../src/node/disk.ts';
import { placeOfSingleRun, run } from '../../src/node/run.ts';
import { directory, GOLDEN, nibbleTrain } from '../e2e/nibble.ts';
import { rejection } from '../formats/files.ts';

const MODEL = path.join(GOLDEN, 'formats', 'llama-untied-f32');
const ROW = `${JSON.stringify({ input_ids: [1, 2, 3, 4, 5, 6, 7, 8] })}\n`;
const STEPS = 40;

/** A short run that is told how much room there is. */
function trained(output: string, free: number, more: Record<string, string> = {}) {
  const rows = path.join(directory({ 'rows.jsonl': ROW }), 'rows.jsonl');
  const flags = {
    model_name_or_path: MODEL,
    datasets: rows,
    output_dir: output,
    max_steps: String(STEPS),
    lora_r: '2',
  };
  const config = loadTrainConfig({ flags: { ...flags, logging_steps: '1', ...more } });
  return run(config, {
    place: placeOfSingleRun(config, []),
    device: (process.env.NIBBLE_TEST_DEVICE ?? 'auto') as DeviceChoice,
    signal: new AbortController().signal,
    onEvent: () => undefined,
    freeBytes: () => Promise.resolve(free),
  });
}

const bytesIn = (folder: string): number =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => statSync(path.join(folder, name)))
    .reduce((sum, found) => sum + (found.isFile() ? found.size : 0), 0);

describe('room on the disk', () => {
  test.each([
    ['lora', 'the adapter'],
    ['full', 'the model'],
  ])('%s: what is asked for is what is written, and a byte less is refused before a step', async (method, what) => {
    const output = path.join(directory(), 'run');
    const error = await rejection(trained(output, 0, { method }));
    expect(error).toBeInstanceOf(DataError);
    expect(error.message).toMatch(
      new RegExp(
        `run: needs [\\d.]+ KiB on the disk \\(${what} [\\d.]+ K?i?B, 1 checkpoint \\(save_total_limit keeps fewer\\) [\\d.]+ KiB, the log of its steps [\\d.]+ KiB\\), 0 B are free`,
      ),
    );
    expect(existsSync(output)).toBe(false);
    const asked = Number(/needs ([\d.]+) KiB/.exec(error.message)?.[1]) * 1024;
    await trained(output, asked * 1.01, { method });
    expect(bytesIn(output)).toBeLessThan(asked);
    expect(bytesIn(output)).toBeGreaterThan(asked - 80 * 1024);
  });

  test('a suite asks for all of its runs before the first', async () => {
    const rows = path.join(directory({ 'rows.jsonl': ROW }), 'rows.jsonl');
    const text = `suite: mine\nseeds: [0, 1, 2]\nbase: {model_name_or_path: ${MODEL}, datasets: [{path: ${rows}}]}
arms: {lora: {lora_r: 2}, qlora: {lora_r: 2, method: qlora}}\n`;
    const started: string[] = [];
    const running = runSuite(loadSuite({ file: { path: 'mine.yaml', text } }), {
      directory: path.join(directory(), 'suite'),
      device: 'auto',
      command: [],
      signal: new AbortController().signal,
      onEvent: ({ type }) => started.push(type),
      freeBytes: () => Promise.resolve(1000),
    });
    expect((await rejection(running)).message).toMatch(
      /\(3 x lora [\d.]+ KiB, 3 x qlora [\d.]+ KiB\), 1000 B are free/,
    );
    expect(started).toEqual([]);
  });

  test('is that of the disk where a folder will be', async () => {
    const here = await freeBytesAt(directory());
    expect(here).toBeGreaterThan(0);
    expect(Math.abs((await freeBytesAt(path.join(directory(), 'not', 'yet'))) / here - 1)).toBeLessThan(0.2);
    await requireRoom('x', { a: 5, b: 5 }, () => Promise.resolve(10));
    expect((await rejection(requireRoom('x', { a: 5, b: 6 }, () => Promise.resolve(10)))).message).toContain(
      'x: needs 11 B',
    );
  });
});

describe('the file of --profile', () => {
  const root = directory();
  test.each([
    ['in a folder that is not there', () => path.join(root, 'gone', 'step.json'), 'there is no folder'],
    ['that is a folder', () => root, 'is there and is no file'],
    ['below a file', () => path.join(root, 'file', 'step.json'), 'a part of its path is a file'],
    ['where nothing can be made', () => '/proc/step.json', 'cannot be written'],
  ])('%s is refused before the model is read', async (_, file, says) => {
    writeFileSync(path.join(root, 'file'), '');
    const rows = path.join(directory({ 'rows.jsonl': ROW }), 'rows.jsonl');
    const output = path.join(directory(), 'run');
    const argv = ['--model_name_or_path', MODEL, '--datasets', rows, '--output_dir', output, '--profile', file()];
    const { code, stderr } = await nibbleTrain(...argv);
    expect([code, stderr]).toEqual([2, expect.stringMatching(new RegExp(`nibble: --profile: .*(${says})`))]);
    expect(existsSync(output)).toBe(false);
  });

  test('may lie in the folder of the run, and replaces another; asking leaves nothing', async () => {
    const folder = path.join(root, 'out');
    mkdirSync(folder);
    await requireWritable(path.join(folder, 'step.json'), '--profile');
    expect(readdirSync(folder)).toEqual([]);
    writeFileSync(path.join(folder, 'step.json'), 'old');
    await requireWritable(path.join(folder, 'step.json'), '--profile');
    expect(readdirSync(folder)).toEqual(['step.json']);
    expect(await rejection(requireWritable(folder, '--profile'))).toBeInstanceOf(ConfigError);
  });
});
