/** FIFOs, devices and directories in the place of files, and standard input (`npm run build` first). */
import { spawnSync } from 'node:child_process';
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { contentOf, directory, GOLDEN, trainerState } from './nibble.ts';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const MODEL = path.join(GOLDEN, 'formats', 'llama-untied-f32');
const ROW = `${JSON.stringify({ input_ids: [1, 2, 3, 4, 5, 6, 7, 8] })}\n`;
const env = { ...process.env, NIBBLE_DEVICE: process.env.NIBBLE_TEST_DEVICE ?? 'auto', NO_COLOR: '1' };
/** What hung, hung for good. */
const MAY_TAKE_MS = 60_000;

function nibble(argv: readonly string[], input = '') {
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...argv], {
    env,
    input,
    encoding: 'utf8',
    timeout: MAY_TAKE_MS,
  });
  return { code: signal ?? status, stdout, message: stderr.match(/nibble: [\s\S]*/)?.[0] ?? stderr };
}

function fifo(at: string): string {
  expect(spawnSync('mkfifo', [at]).status).toBe(0);
  return at;
}

const train = (...files: readonly string[]) => ['train', '--output_dir', path.join(directory(), 'out'), ...files];
const settings = (rows: string, output: string): string =>
  `model_name_or_path: ${MODEL}\ndatasets: [{path: '${rows}'}]\nmax_steps: 1\nlora_r: 2\noutput_dir: ${output}\n`;

describe.skipIf(process.platform !== 'linux')('what is no file is called by its name and not read', () => {
  const root = directory({ 'rows.jsonl': ROW });
  const rows = path.join(root, 'rows.jsonl');
  const pipe = fifo(path.join(root, 'pipe.jsonl'));
  const link = path.join(root, 'link.jsonl');
  symlinkSync('/dev/zero', link);
  const model = (file: string): string => {
    const copy = directory({}, MODEL);
    spawnSync('rm', ['-f', path.join(copy, file)]);
    fifo(path.join(copy, file));
    return copy;
  };
  const report = directory();
  fifo(path.join(report, 'lora-seed1.run.json'));

  const cases: Record<string, readonly [argv: readonly string[], word: string]> = {
    'a FIFO as configuration': [['train', pipe], 'is a FIFO (a pipe), needs a file'],
    'a device as configuration': [['config', 'print', '/dev/zero'], 'is a device, needs a file'],
    'a directory as configuration': [['config', 'print', root], 'is a directory, needs a file'],
    'a FIFO as dataset': [
      train('--model_name_or_path', MODEL, '--datasets', pipe),
      `datasets[0].path: ${pipe} is a FIFO (a pipe); wanted a file`,
    ],
    'a link to a device as dataset': [
      train('--model_name_or_path', MODEL, '--datasets', rows, '--eval_datasets', link),
      `eval_datasets[0].path: ${link} is a device; wanted a file`,
    ],
    'a device as model': [train('--model_name_or_path', '/dev/null', '--datasets', rows), '/dev/null is a device'],
    'a FIFO as config.json': [
      train('--model_name_or_path', model('config.json'), '--datasets', rows),
      'config.json is a FIFO (a pipe); wanted a file',
    ],
    'a FIFO as weights': [['quantize', model('model.safetensors'), path.join(directory(), 'q')], 'is a FIFO (a pipe)'],
    'a FIFO as tokenizer': [
      train('--model_name_or_path', model('tokenizer.json'), '--datasets', rows),
      'tokenizer.json: is a FIFO (a pipe), needs a file',
    ],
    'a FIFO as record of a run': [['bench', 'report', report], 'lora-seed1.run.json: is a FIFO (a pipe)'],
    'a pipe under its path': [['config', 'print', '/dev/stdin'], '/dev/stdin: is a'],
  };

  test.each(Object.entries(cases))('%s', (_, [argv, word]) => {
    const { code, stdout, message } = nibble(argv);
    expect([code, stdout], message).toEqual([2, '']);
    expect(message).toContain(word);
  });
});

describe('standard input', () => {
  test('is the configuration of `train -`', () => {
    const root = directory({ 'rows.jsonl': ROW });
    const output = path.join(root, 'out');
    expect(nibble(['train', '-'], settings(path.join(root, 'rows.jsonl'), output))).toMatchObject({ code: 0 });
    expect(trainerState(output).global_step).toBe(1);
  });

  test('is a dataset, kept in the folder of the run, which can be repeated from there', () => {
    const root = directory();
    const [output, again] = [path.join(root, 'out'), path.join(root, 'again')];
    writeFileSync(path.join(root, 'config.yaml'), settings('-', output));
    expect(nibble(['train', path.join(root, 'config.yaml')], ROW)).toMatchObject({ code: 0 });
    expect(readFileSync(path.join(output, 'rows', 'datasets-0.jsonl'), 'utf8')).toBe(ROW);
    expect(nibble(['train', path.join(output, 'config.yaml'), '--output_dir', again])).toMatchObject({ code: 0 });
    const weights = 'adapter_model.safetensors';
    expect(contentOf(again)[weights]).toBe(contentOf(output)[weights]);
  });

  test('names itself in messages, and is read once and by one run', () => {
    expect(nibble(['config', 'print', '-'], 'lora_rr: 2\n').message).toContain('lora_r? (standard input:1)');
    const flags = ['--model_name_or_path', MODEL];
    expect(nibble(train(...flags, '--datasets', '-'), '{"input_ids": "a"}\n').message).toContain('standard input:1: ');
    const twice = nibble(train(...flags, '--datasets', '-', '--eval_datasets', '-'), ROW);
    expect([twice.code, twice.message]).toEqual([
      2,
      expect.stringContaining('eval_datasets[0].path: is - as well as datasets[0]'),
    ]);
    const both = nibble(['train', '-'], settings('-', path.join(directory(), 'out')));
    expect([both.code, both.message]).toEqual([
      2,
      expect.stringContaining('datasets[0].path: is - as well as the settings'),
    ]);
    const suite = `suite: s\nseeds: [1]\ndivision: open\nbase: {model_name_or_path: ${MODEL}, datasets: [{path: '-'}]}\narms: {a: {}}\n`;
    const file = path.join(directory({ 's.yaml': suite }), 's.yaml');
    const bench = nibble(['bench', 'run', file, '--output', path.join(directory(), 'out')], ROW);
    expect([bench.code, bench.message]).toEqual([2, expect.stringContaining('nibble train')]);
  });

  test.skipIf(process.platform !== 'linux')('that never ends is refused', () => {
    const { status, stderr } = spawnSync('bash', ['-c', `'${process.execPath}' '${MAIN}' train - </dev/zero`], {
      env,
      encoding: 'utf8',
      timeout: MAY_TAKE_MS,
    });
    expect([status, stderr]).toEqual([2, expect.stringContaining('standard input: has more than 0.5 MiB')]);
  });
});
