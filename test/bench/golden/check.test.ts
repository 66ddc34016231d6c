/** `npm run golden:check` without Python: what it compares, what it says, and how it ends where Python is lacking. */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import * as folders from '../../../bench/golden/folders.mjs';
import { ROUNDING } from '../../../bench/golden/numbers.mjs';

const ROOT = new URL('../../../', import.meta.url);
const GOLDEN = new URL('test/golden/', ROOT).pathname;

const scratch = () => mkdtempSync(path.join(tmpdir(), 'nibble-golden-test-'));

function write(files: Readonly<Record<string, string | Uint8Array>>): string {
  const folder = scratch();
  for (const [file, content] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(folder, file)), { recursive: true });
    writeFileSync(path.join(folder, file), content);
  }
  return folder;
}

/** A file of one tensor. */
function safetensors(values: readonly number[], dtype: 'F32' | 'I32' = 'F32', metadata = 'pt'): Uint8Array {
  const w = { dtype, shape: [values.length], data_offsets: [0, 4 * values.length] };
  const header = JSON.stringify({ __metadata__: { format: metadata }, w });
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const data = dtype === 'F32' ? Float32Array.from(values) : Int32Array.from(values);
  return Buffer.concat([length, Buffer.from(header), Buffer.from(data.buffer)]);
}

const floats = (values: readonly number[]) => new Uint8Array(Float32Array.from(values).buffer);

describe('the golden folders', () => {
  test('every folder has a script that makes it', () => {
    expect(folders.listed(GOLDEN).length).toBeGreaterThanOrEqual(5);
    expect(folders.unlisted(GOLDEN)).toEqual([]);
    for (const { script } of folders.listed(GOLDEN))
      expect(readFileSync(path.join(GOLDEN, 'make', script), 'utf8')).toContain('"""');
  });

  test('one set of package versions made them all, but for folders that name a version of their own', () => {
    const named = ({ needs = [] }: { readonly needs?: readonly string[] }) => needs.find((need) => / \d/.test(need));
    const [own, shared] = [true, false].map((has) =>
      folders.listed(GOLDEN).filter((made) => (named(made) !== undefined) === has),
    );
    const names = (shared ?? []).map(({ folder }) => folder);
    expect(names.length).toBeGreaterThanOrEqual(10);
    expect(folders.recordedVersions(GOLDEN, names).get('peft')).toMatch(/^\d+\.\d+\.\d+$/);
    expect((own ?? []).map(({ folder }) => folder)).toEqual([
      'generate',
      'merge',
      'merge-4bit',
      'combine',
      'gguf',
      'peft-options',
      'pissa',
      'chat',
      'programs',
      'tokenizers',
      'optimizers',
      'eval',
      'eval-chat',
    ]);
    for (const made of own ?? []) {
      const [name = '', version = ''] = (named(made) ?? '').split(' ');
      expect(folders.recordedVersions(GOLDEN, [made.folder]).get(name)).toMatch(new RegExp(`^${version}\\.`));
    }
  });

  test('a folder that nothing makes is named', () => {
    const golden = write({ 'make/goldens.json': '[{"folder":"a","script":"a.py"}]', 'a/x': '', 'b/x': '' });
    expect(folders.unlisted(golden)).toEqual(['b']);
  });
});

describe('the comparison', () => {
  test('says of every file whether it is equal, and by how much it is not', () => {
    const committed = write({
      'same.txt': 'a',
      'gone.txt': 'a',
      'deep/text.txt': 'abcd',
      'n.json': '{"loss": [1.0, 2.0], "name": "x"}',
      's.json': '{"name": "x"}',
      'l.bin': floats([1, 4]),
      't.safetensors': safetensors([1, 2]),
    });
    const made = write({
      'same.txt': 'a',
      'new.txt': 'a',
      'deep/text.txt': 'abce',
      'n.json': '{"loss": [1.0, 2.002], "name": "x"}',
      's.json': '{"name": "y"}',
      'l.bin': floats([1, Number.NaN]),
      't.safetensors': safetensors([1, 2.5]),
    });
    const words = Object.fromEntries(folders.compareFolders(made, committed).map(({ file, words }) => [file, words]));
    expect(words).toEqual({
      'same.txt': '',
      'gone.txt': 'not made again',
      'new.txt': 'made, but not committed',
      [path.join('deep', 'text.txt')]: 'first differing byte 3',
      'n.json': '1 of 2 numbers, by at most 1.0e-3 relative',
      's.json': '1 entries that are not floats, the first at /name',
      'l.bin': '1 of 2 values, by at most Infinity of the largest',
      't.safetensors': '1 of 1 tensors: w: 1 of 2 values, by at most 2.5e-1 of the largest',
    });
  });

  const compared = (file: string, committed: string | Uint8Array, made: string | Uint8Array) =>
    folders.compareFolders(write({ [file]: made }), write({ [file]: committed }))[0]?.verdict;

  test('only an equal file counts as equal', () => {
    expect(compared('x.json', '{"a": 1}', '{"a": 1}')).toBe('equal');
    expect(compared('x.json', '{"a": 1}', '{"a":  1}')).toBe('differs');
    expect(compared('x.json', '{"a": 1, "b": 2}', '{"b": 2, "a": 1}')).toBe('differs');
  });

  test('floats are within rounding up to the bound, and no further', () => {
    const pairs: [string, keyof typeof ROUNDING, (x: number) => string | Uint8Array][] = [
      ['steps.json', 'number', (x) => `{"steps": [{"loss": ${(8 * x).toFixed(9)}, "grad_norm": 1.5, "n": 5}]}`],
      ['steps.json', 'grad_norm', (x) => `[{"loss": 1.5, "grad_norm": ${x.toFixed(9)}}]`],
      ['logits.bin', 'number', (x) => floats([2 * x, 0.5])],
      ['m.safetensors', 'tensor', (x) => safetensors([1, 8 * x])],
    ];
    for (const [file, kind, of] of pairs) {
      // float32 itself rounds by a hundredth of the smallest
      expect(compared(file, of(1), of(1 + 0.9 * ROUNDING[kind])), `${file}, ${kind}`).toBe('rounding');
      expect(compared(file, of(1), of(1 + 1.1 * ROUNDING[kind])), `${file}, ${kind}`).toBe('differs');
    }
  });

  test('the bounds are below what the mildest planted bugs do (test/golden/README.md)', () => {
    expect(ROUNDING.number).toBeLessThan(4.3e-5 / 8);
    expect(ROUNDING.grad_norm).toBeLessThan(8.7e-5 / 2);
    expect(ROUNDING.tensor).toBeLessThan(1e-3 / 8);
  });

  test('what is no float has to be equal', () => {
    const cases: [string, string | Uint8Array, string | Uint8Array][] = [
      ['steps.json', '{"n": 1000001}', '{"n": 1000002}'],
      ['steps.json', '{"loss": 4.0}', '{"loss": 4}'],
      ['steps.json', '{"loss": 4.0}', '{"losses": 4.0}'],
      ['steps.json', '{"loss": [4.0]}', '{"loss": {"0": 4.0}}'],
      ['steps.json', '{"loss": 4.0, "hash": "1.0"}', '{"loss": 4.0, "hash": "1.0000001"}'],
      ['steps.json', '{"loss": 0.0}', '{"loss": 1e-12}'],
      ['a/config.json', '{"eps": 1.0}', '{"eps": 1.0000001}'],
      ['a/config-4x.json', '{"eps": 1.0}', '{"eps": 1.0000001}'],
      ['adapter_config.json', '{"alpha": 1.0}', '{"alpha": 1.0000001}'],
      ['x.txt', '1.0', '1.0000001'],
      ['m.safetensors', safetensors([1e7, 1], 'I32'), safetensors([1e7 + 1, 1], 'I32')],
      ['m.safetensors', safetensors([1, 2]), safetensors([1, 2], 'F32', 'np')],
      ['m.safetensors', safetensors([1, 2]), safetensors([1, 2.000_001], 'F32', 'np')],
      ['m.safetensors', safetensors([1, 2]), safetensors([1, 2, 0])],
      ['logits.bin', floats([1, 2]), floats([1, 2, 0])],
    ];
    for (const [file, committed, made] of cases)
      expect(compared(file, committed, made), `${file} ${made}`).toBe('differs');
    // floats of a config by another name are not settings
    expect(compared('configs.json', '{"inv_freq": 1.0}', '{"inv_freq": 1.0000001}')).toBe('rounding');
  });
});

describe('the command', () => {
  const check = (python: string, ...args: string[]) => {
    const script = new URL('bench/golden/check.mjs', ROOT).pathname;
    const env = { ...process.env, PYTHON: python };
    return spawnSync(process.execPath, [script, ...args], { env, encoding: 'utf8' });
  };

  /** Stands in for Python: answers the query for versions, and makes what `script` says instead of running one. */
  const python = (answer: object, script = '') => {
    const file = path.join(scratch(), 'python');
    const lines = ['#!/bin/sh', `if [ "$1" = -c ]; then echo '${JSON.stringify(answer)}'; exit; fi`, script];
    writeFileSync(file, `${lines.join('\n')}\n`);
    chmodSync(file, 0o755);
    return file;
  };

  test('ends with 2 where there is no Python, and says what it would need', () => {
    const { status, stderr } = check('/no/such/python', 'llama');
    expect(status).toBe(2);
    expect(stderr).toContain('Set PYTHON to a Python 3.11 or newer that has torch==');
    expect(stderr).not.toContain('    at ');
  });

  test('ends with 2 where a package is missing or another version, and names each', () => {
    const recorded = Object.fromEntries(folders.recordedVersions(GOLDEN, ['llama']));
    const packages = { ...recorded, peft: null, numpy: '1.0.0' };
    const { status, stderr } = check(python({ python: '3.11.7', packages }), 'llama');
    expect(status).toBe(2);
    expect(stderr).toContain(`peft is not installed, needs ${recorded.peft}`);
    expect(stderr).toContain(`numpy is 1.0.0, needs ${recorded.numpy}`);
    expect(stderr).not.toContain('torch is');
  });

  test('ends with 1 where a script leaves its files unmade', () => {
    const packages = Object.fromEntries(folders.recordedVersions(GOLDEN, ['llama']));
    const { status, stdout } = check(python({ python: '3.11.7', packages }), 'llama');
    expect(status).toBe(1);
    expect(stdout).toMatch(/DIFFERS +versions\.json: not made again/);
    expect(stdout).toContain('0 files equal');
  });

  test.each([
    [1e-6, 0, '21 files equal, 1 within rounding (number 5e-6, grad_norm 4e-5, tensor 6e-5), 0 different'],
    [1e-4, 1, '21 files equal, 0 within rounding (number 5e-6, grad_norm 4e-5, tensor 6e-5), 1 different'],
  ])('logits off by %d of the largest: ends with %d', (error, code, summary) => {
    const packages = Object.fromEntries(folders.recordedVersions(GOLDEN, ['llama']));
    const logits = '../llama/untied-gqa-f32/logits.bin';
    const patch =
      `const f = require("fs"), bytes = f.readFileSync("${logits}"), x = new Float32Array(new Uint8Array(bytes).buffer);` +
      `x[0] += ${error} * x.reduce((a, b) => Math.max(a, Math.abs(b)), 0); f.writeFileSync("${logits}", x)`;
    const script = `cp -r '${GOLDEN}llama/.' ../llama && '${process.execPath}' -e '${patch}'`;
    const { status, stdout } = check(python({ python: '3.11.7', packages }, script), 'llama');
    expect(stdout).toContain(summary);
    expect(stdout).toMatch(
      /(rounding|DIFFERS ) {2}untied-gqa-f32.logits\.bin: 1 of 7680 values, by at most 1\.0e-[46] of/,
    );
    expect(status).toBe(code);
  });

  test('ends with 2 for a folder that is not there', () => {
    const { status, stderr } = check('/no/such/python', 'lama');
    expect(status).toBe(2);
    expect(stderr).toContain('no golden folder lama; there are llama, ');
  });
});
