import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeEach, expect, it } from 'vitest';
import { exportCommand } from '../../src/cli/export/command.ts';
import { runExport } from '../../src/cli/export/run.ts';
import type { ExportSummary } from '../../src/node/export.ts';
import { readGguf } from '../formats/gguf-read.ts';
import { nibble } from './fakes.ts';

const GOLDEN = new URL('../golden/', import.meta.url).pathname;
const ADAPTER = path.join(GOLDEN, 'architectures/llama/adapter-init');
const MODEL = path.join(GOLDEN, 'architectures/llama/dense');
const OPTIONS = path.join(GOLDEN, 'peft-options');
const root = mkdtempSync(path.join(tmpdir(), 'nibble-export-'));
afterAll(() => rmSync(root, { recursive: true }));

let at = '';
let made = 0;
beforeEach(() => {
  at = path.join(root, String(made++));
  mkdirSync(at);
});
const out = (name = 'a.gguf') => path.join(at, name);

/** Runs `nibble export ARGS` on a disk with `free` bytes. */
function exporting(args: readonly string[], free?: number) {
  const freeBytes = free === undefined ? undefined : () => Promise.resolve(free);
  return nibble(['export', ...args], [(c) => exportCommand(c, (a, ctx) => runExport(a, ctx, freeBytes))]);
}

it('writes the adapter and a Modelfile, and says what it wrote', async () => {
  const modelfile = out('Modelfile');
  const { code, stdout } = await exporting([ADAPTER, '--model', MODEL, '--gguf', out(), '--modelfile', modelfile]);
  expect({ code, stdout }).toEqual({
    code: 0,
    stdout: `${out()}: 14 weights of llama adapted, alpha 8, in f32, 34.19 KiB\nllama.cpp: llama-cli -m BASE.gguf --lora ${out()}\nOllama: ollama create NAME -f ${modelfile}\n`,
  });
  expect(readFileSync(modelfile, 'utf8')).toBe(`FROM ${MODEL}\nADAPTER ./a.gguf\n`);
  expect(readdirSync(at).sort()).toEqual(['Modelfile', 'a.gguf']);
  expect(Object.fromEntries(readGguf(new Uint8Array(readFileSync(out()))).metadata)).toEqual({
    'general.architecture': 'llama',
    'general.type': 'adapter',
    'adapter.type': 'lora',
    'general.name': 'adapter-init',
    'general.base_model.count': 1,
    'general.base_model.0.name': 'dense',
    'adapter.lora.alpha': 8,
    'general.quantization_version': 2,
  });
});

it('writes half the bytes in f16, builds on what --from names, and prints JSON', async () => {
  const args = ['--outtype', 'f16', '--modelfile', out('M'), '--from', 'smollm2:135m', '--json'];
  const { code, stdout } = await exporting([ADAPTER, '--model', MODEL, '--gguf', out(), ...args]);
  const summary = JSON.parse(stdout) as ExportSummary;
  expect(code).toBe(0);
  expect(summary).toMatchObject({ architecture: 'llama', outtype: 'f16', pairs: 14, alpha: 8, modelfile: out('M') });
  expect(readFileSync(out()).byteLength).toBe(summary.bytes);
  expect(readFileSync(out('M'), 'utf8')).toBe('FROM smollm2:135m\nADAPTER ./a.gguf\n');
});

/** A copy of an adapter, with another base in its config. */
function naming(base: string | null): string {
  const folder = out('adapter');
  mkdirSync(folder);
  const config = JSON.parse(readFileSync(path.join(ADAPTER, 'adapter_config.json'), 'utf8')) as object;
  writeFileSync(path.join(folder, 'adapter_config.json'), JSON.stringify({ ...config, base_model_name_or_path: base }));
  writeFileSync(
    path.join(folder, 'adapter_model.safetensors'),
    readFileSync(path.join(ADAPTER, 'adapter_model.safetensors')),
  );
  return folder;
}

it("takes the adapter's own base where that is a folder, and asks for it where it is none", async () => {
  expect((await exporting([naming(MODEL), '--gguf', out()])).code).toBe(0);
  rmSync(out('adapter'), { recursive: true });
  const { code, stderr } = await exporting([naming('./llama'), '--gguf', out('b.gguf')]);
  expect(code).toBe(2);
  expect(stderr).toContain('--model: is missing: ');
  expect(stderr).toContain("names ./llama as its base, which is no folder here. Give the base's folder");
});

it.each<[what: string, args: (at: string) => string[], message: string]>([
  ['a file that is there', () => ['--gguf', out('taken')], 'gguf: '],
  [
    'a Modelfile that is there',
    () => ['--gguf', out(), '--modelfile', out('taken')],
    'is there already; give a new file',
  ],
  ['one file for both', () => ['--gguf', out(), '--modelfile', out()], "is the adapter's own file"],
  ['a folder that is missing', () => ['--gguf', out('no/a.gguf')], 'there is no folder'],
  ['--from without a Modelfile', () => ['--gguf', out(), '--from', 'x'], 'is for a Modelfile'],
  ['a type that GGUF has and nibble has not', () => ['--gguf', out(), '--outtype', 'q8_0'], 'q8_0'],
])('refuses %s, and writes nothing', async (_, args, message) => {
  writeFileSync(out('taken'), 'kept');
  const { code, stderr } = await exporting([ADAPTER, '--model', MODEL, ...args(at)]);
  expect(code).toBe(2);
  expect(stderr).toContain(message);
  expect(readdirSync(at)).toEqual(['taken']);
  expect(readFileSync(out('taken'), 'utf8')).toBe('kept');
});

it('refuses what GGUF cannot hold, another base, and a full disk', async () => {
  const dora = await exporting([path.join(OPTIONS, 'dora'), '--model', path.join(OPTIONS, 'biased'), '--gguf', out()]);
  expect(dora.code).toBe(2);
  expect(dora.stderr).toContain('adapter_config.json: use_dora: is true');
  const other = await exporting([ADAPTER, '--model', path.join(OPTIONS, 'biased'), '--gguf', out()]);
  expect(other).toMatchObject({ code: 2, stderr: expect.stringContaining('do not fit the model') });
  const full = await exporting([ADAPTER, '--model', MODEL, '--gguf', out()], 35_000);
  expect(full).toMatchObject({ code: 2, stderr: expect.stringContaining('needs 34.19 KiB on the disk') });
  expect(existsSync(out())).toBe(false);
});

it('leaves no GGUF behind where the Modelfile cannot be written', async () => {
  const args = [ADAPTER, '--model', MODEL, '--gguf', out(), '--modelfile', out('M')];
  const named = await exporting([...args, '--from', 'a"b']);
  expect(named).toMatchObject({ code: 2, stderr: expect.stringContaining('cannot name "a\\"b"') });
  expect(readdirSync(at)).toEqual([]);
});

it('refuses to round what float16 cannot hold', async () => {
  const folder = naming(MODEL);
  const file = path.join(folder, 'adapter_model.safetensors');
  const bytes = readFileSync(file);
  bytes.writeFloatLE(70_000, bytes.byteLength - 4);
  writeFileSync(file, bytes);
  const { code, stderr } = await exporting([folder, '--gguf', out(), '--outtype', 'f16']);
  expect(code).toBe(2);
  expect(stderr).toContain('holds 70000, beyond what float16 can. Use --outtype f32');
  expect((await exporting([folder, '--gguf', out()])).code).toBe(0);
});
