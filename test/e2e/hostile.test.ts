/** Files that were made to do harm, or were handed over by mistake: one message, exit code 2, nothing written. */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { readRun } from '../../src/bench/read-runs.ts';
import { benchCommand } from '../../src/cli/bench/command.ts';
import { runBench } from '../../src/cli/bench/run.ts';
import { nibble } from '../cli/fakes.ts';
import { makeRun } from '../report/fixture.ts';
import { directory, GOLDEN, nibbleTrain } from './nibble.ts';
import { expectRefusal } from './refusal.ts';

const HOSTILE = path.join(GOLDEN, 'faults', 'hostile');
const MODEL = path.join(GOLDEN, 'faults', 'model');
const ROWS = path.join(GOLDEN, 'faults', 'rows.jsonl');
const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

const argvOf = (...more: string[]) => ['--model_name_or_path', MODEL, '--datasets', ROWS, '--max_steps', '1', ...more];

describe('configurations', () => {
  const refused = (file: string, ...says: (string | RegExp)[]) =>
    expectRefusal(path.dirname(file), [file], says, MODEL);
  const deep = (text: string) => path.join(directory({ 'config.yaml': text }), 'config.yaml');

  test('that hold themselves', async () => {
    await refused(path.join(HOSTILE, 'circular.yaml'), 'an anchor stands inside itself');
  });

  test('that nest without end', async () => {
    await refused(deep(`lora_target_modules: ${'['.repeat(20_000)}`), 'nest more than 64 deep', 'config.yaml:1');
    await refused(deep(`datasets:\n  ${'- '.repeat(20_000)}a`), 'nest more than 64 deep', 'config.yaml:2');
  });

  test('that are something else', async () => {
    const gz = deep('');
    const dataset = path.join(directory({ 'rows.jsonl': '{"text": "x"}\n'.repeat(100_000) }), 'rows.jsonl');
    const zipped = path.join(directory({ 'c.yaml': Buffer.from([0x1f, 0x8b, 8, 0]) }), 'c.yaml');
    const wide = path.join(directory({ 'c.yaml': Buffer.from('\ufefflora_r: 8', 'utf16le') }), 'c.yaml');
    await refused(gz, 'model_name_or_path: is missing');
    await refused(dataset, 'rows.jsonl: is too large for a configuration: 1400000 bytes');
    await refused(zipped, 'c.yaml: is compressed by gzip, needs UTF-8 text. Unpack it first.');
    await refused(wide, 'c.yaml: is UTF-16 text, needs UTF-8 text. Save it as UTF-8.');
  });

  test('with a thousand wrong keys: the first 20 are listed', async () => {
    const text = Array.from({ length: 1000 }, (_, i) => `wrong_${i}: 1\n`).join('');
    const { code, stderr } = await nibbleTrain(deep(text));
    expect(code).toBe(2);
    expect(stderr.split('\n').filter((line) => line.includes('unknown key'))).toHaveLength(20);
    expect(stderr).toMatch(/10\d\d problems in the configuration/);
    expect(stderr).toMatch(/\n {2}and 98\d more\n/);
  });
});

describe('suites', () => {
  const bench = (file: string, output: string) =>
    nibble(['bench', 'run', file, '--output', output], [(c) => benchCommand(c, { run: runBench })]);

  test('whose arms lead elsewhere', async () => {
    const output = directory();
    const { code, stderr } = await bench(path.join(HOSTILE, 'escape.yaml'), output);
    expect(code).toBe(2);
    expect(stderr).toContain('arms: got "../../../../outside/evil", wanted a name for a folder');
    expect(stderr).toContain('arms: got "x/y", wanted a name for a folder');
    expect(readdirSync(output)).toEqual([]);
  });
});

describe('files of a model', () => {
  const withFile = (name: string, content: string | Uint8Array) => directory({ [name]: content }, MODEL);
  const refused = (model: string, ...says: (string | RegExp)[]) => {
    const argv = ['--model_name_or_path', model, '--datasets', ROWS, '--max_steps', '1'];
    return expectRefusal(model, [...argv, '--output_dir', path.join(directory(), 'run')], says, model);
  };
  const nested = '['.repeat(100_000) + ']'.repeat(100_000);

  test.each(['config.json', 'tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json', 'added_tokens.json'])(
    '%s that nests without end',
    async (name) => {
      const tokenizer = JSON.parse(readFileSync(path.join(HOSTILE, 'tokenizer-no-single.json'), 'utf8'));
      delete tokenizer.post_processor;
      const model = directory({ 'tokenizer.json': JSON.stringify(tokenizer), [name]: `{"a": ${nested}}` }, MODEL);
      await refused(model, `${name}: nests lists and objects more than 64 deep`);
    },
  );

  test('a template of tokenizer.json without single', async () => {
    const tokenizer = readFileSync(path.join(HOSTILE, 'tokenizer-no-single.json'));
    await refused(withFile('tokenizer.json', tokenizer), 'post_processor.single');
  });

  test('a header of safetensors that nests without end', async () => {
    const text = Buffer.from(`{"__metadata__": ${nested}}`);
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(text.length));
    const weights = Buffer.concat([length, text]);
    await refused(withFile('model.safetensors', weights), 'model.safetensors (header): nests lists');
  });

  test.each([
    ['a pointer of Git LFS', 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n', '`git lfs pull`'],
    ['a web page', '<!DOCTYPE html><html></html>', 'a page came in its place'],
    ['compressed by gzip', Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0]), 'Unpack it first'],
    ['a GGUF file', Buffer.from('GGUF\u0003\0\0\0\u0001\0\0\0'), 'Fetch the safetensors files'],
  ])('that are %s', async (name, content, advice) => {
    await refused(withFile('model.safetensors', content), `model.safetensors: is ${name}`, advice);
    await refused(withFile('config.json', content), `config.json: is ${name}`, advice);
  });

  test('rows that nest without end', async () => {
    const rows = path.join(directory({ 'rows.jsonl': `{"input_ids": [1, 2], "x": ${nested}}\n` }), 'rows.jsonl');
    await expectRefusal(path.dirname(rows), argvOf('--datasets', rows), ['rows.jsonl:1: nests lists'], MODEL);
  });

  test('a record of a run that nests without end', async () => {
    const text = JSON.stringify({ ...makeRun('lora', 1), run_info: 0 }).replace('"run_info":0', `"run_info":${nested}`);
    const file = path.join(directory({ 'run.json': text }), 'run.json');
    await expect(readRun(file)).rejects.toThrow(/run\.json: nests lists/);
  });
});

describe('machines', () => {
  const run = (command: string, env = process.env) => {
    const { status, stderr } = spawnSync('sh', ['-c', command], { encoding: 'utf8', env });
    return { status, stderr };
  };

  test.skipIf(process.platform === 'win32').each([40, 50, 64])('that let %i files be open', (files) => {
    const { status, stderr } = run(
      `ulimit -n ${files}; exec "${process.execPath}" "${MAIN}" train --model_name_or_path x`,
    );
    expect(stderr).toMatch(
      /^nibble: its code cannot be loaded: too many files are open at once \(EMFILE\); raise .*\n$/,
    );
    expect(status).toBe(2);
  });

  const isRoot = process.getuid?.() === 0;
  test.skipIf(!isRoot || process.platform !== 'linux')('that know neither a home nor a name', () => {
    const { HOME: _, XDG_CACHE_HOME: __, ...env } = process.env;
    const command = `exec setpriv --reuid=54321 --regid=54321 --clear-groups "${process.execPath}" "${MAIN}"`;
    const { status, stderr } = run(`${command} estimate "${MODEL}"`, env);
    expect([status, stderr]).toEqual([0, '']);
    const tuned = run(`${command} tune-kernels --quick`, env);
    expect(tuned.stderr).toMatch(/^nibble: XDG_CACHE_HOME: is not set, and this user has no home folder; give .*\n$/);
    expect(tuned.status).toBe(2);
  });
});
