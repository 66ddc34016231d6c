/** `npm run golden:check` without Python: what it compares, what it says, and how it ends where Python is lacking. */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, test } from 'vitest';

type Compared = { file: string; equal: boolean; words: string };
type Folders = {
  listed(golden: string): { folder: string; script: string }[];
  unlisted(golden: string): string[];
  recordedVersions(golden: string, folders: string[]): Map<string, string>;
  compareFolders(made: string, committed: string): Compared[];
};
const ROOT = new URL('../../', import.meta.url);
const folders = (await import(new URL('scripts/golden/folders.mjs', ROOT).href)) as Folders;
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

/** A file of one float tensor. */
function safetensors(values: readonly number[]): Uint8Array {
  const header = JSON.stringify({ w: { dtype: 'F32', shape: [values.length], data_offsets: [0, 4 * values.length] } });
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, Buffer.from(header), Buffer.from(Float32Array.from(values).buffer)]);
}

const floats = (values: readonly number[]) => new Uint8Array(Float32Array.from(values).buffer);

describe('the golden folders', () => {
  test('every folder has a script that makes it', () => {
    expect(folders.listed(GOLDEN).length).toBeGreaterThanOrEqual(5);
    expect(folders.unlisted(GOLDEN)).toEqual([]);
    for (const { script } of folders.listed(GOLDEN))
      expect(readFileSync(path.join(GOLDEN, 'make', script), 'utf8')).toContain('"""');
  });

  test('one set of package versions made them all', () => {
    const all = folders.listed(GOLDEN).map(({ folder }) => folder);
    expect(folders.recordedVersions(GOLDEN, all).get('peft')).toMatch(/^\d+\.\d+\.\d+$/);
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
      'n.json': '{"loss": [1, 2], "name": "x"}',
      's.json': '{"name": "x"}',
      'l.bin': floats([1, 4]),
      't.safetensors': safetensors([1, 2]),
    });
    const made = write({
      'same.txt': 'a',
      'new.txt': 'a',
      'deep/text.txt': 'abce',
      'n.json': '{"loss": [1, 2.002], "name": "x"}',
      's.json': '{"name": "y"}',
      'l.bin': floats([1, Number.NaN]),
      't.safetensors': safetensors([1, 2.5]),
    });
    const words = Object.fromEntries(folders.compareFolders(made, committed).map(({ file, words }) => [file, words]));
    expect(words).toEqual({
      'same.txt': 'equal',
      'gone.txt': 'not made again',
      'new.txt': 'made, but not committed',
      [path.join('deep', 'text.txt')]: 'differs: first differing byte 3',
      'n.json': 'differs: 1 of 2 numbers, by at most 1.0e-3 relative',
      's.json': 'differs: 1 entries that are not numbers, the first at /name',
      'l.bin': 'differs: 1 of 2 values, by at most Infinity of the largest',
      't.safetensors': 'differs: 1 of 1 tensors: w: 1 of 2 values, by at most 2.5e-1 of the largest',
    });
  });

  test('only an equal file counts as equal', () => {
    const [a, b] = [write({ 'x.json': '{"a": 1}' }), write({ 'x.json': '{"a":  1}' })];
    expect(folders.compareFolders(a, b)).toEqual([
      { file: 'x.json', equal: false, words: 'differs: only spaces, or the order of keys' },
    ]);
  });
});

describe('the command', () => {
  const check = (python: string, ...args: string[]) => {
    const script = new URL('scripts/golden-check.mjs', ROOT).pathname;
    const env = { ...process.env, PYTHON: python };
    return spawnSync(process.execPath, [script, ...args], { env, encoding: 'utf8' });
  };

  /** Stands in for Python: answers the query for versions. */
  const python = (answer: object) => {
    const file = path.join(scratch(), 'python');
    writeFileSync(file, `#!/bin/sh\necho '${JSON.stringify(answer)}'\n`);
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
    expect(stdout).toContain('DIFFERS  versions.json: not made again');
    expect(stdout).toContain('0 files equal');
  });

  test('ends with 2 for a folder that is not there', () => {
    const { status, stderr } = check('/no/such/python', 'lama');
    expect(status).toBe(2);
    expect(stderr).toContain('no golden folder lama; there are llama, ');
  });
});
