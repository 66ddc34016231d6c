import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { openAdapter } from '../../src/adapters/files.ts';
import { adaptersCommand } from '../../src/cli/adapters/command.ts';
import { runCombine, runInspect } from '../../src/cli/adapters/run.ts';
import { openCheckpoint, openSafetensors, readFloats } from '../../src/formats/checkpoint.ts';
import { readModelConfig } from '../../src/formats/hf-config.ts';
import { adapterBase } from '../../src/model/adapter-base.ts';
import { nodeReader } from '../../src/node/files.ts';
import type { AdapterReport } from '../../src/node/inspect-adapter.ts';
import { nibble } from './fakes.ts';

const OPTIONS = new URL('../golden/peft-options/', import.meta.url).pathname;
const MODEL = path.join(OPTIONS, 'biased');
const root = mkdtempSync(path.join(tmpdir(), 'nibble-adapters-'));
afterAll(() => rmSync(root, { recursive: true }));

let at = '';
let made = 0;
beforeEach(() => {
  at = path.join(root, String(made++));
  mkdirSync(at);
});
const out = (name = 'sum') => path.join(at, name);
const golden = (name: string) => path.join(OPTIONS, name);

function adapters(args: readonly string[], free?: number) {
  const freeBytes = free === undefined ? undefined : () => Promise.resolve(free);
  const combine = (a: Parameters<typeof runCombine>[0], c: Parameters<typeof runCombine>[1]) =>
    runCombine(a, c, freeBytes);
  return nibble(['adapters', ...args], [(c) => adaptersCommand(c, { inspect: runInspect, combine })]);
}

async function inspected(...args: string[]): Promise<AdapterReport> {
  const { code, stdout, stderr } = await adapters(['inspect', ...args, '--json']);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return JSON.parse(stdout) as AdapterReport;
}

const frobenius = (values: ArrayLike<number>): number =>
  Math.sqrt(Array.from(values).reduce((sum, v) => sum + v * v, 0));

describe('nibble adapters inspect', () => {
  it('shows ranks, scalings and norms of every module', async () => {
    const report = await inspected(golden('patterns'), '--model', MODEL);
    expect(report).toMatchObject({ method: 'lora', r: 4, lora_alpha: 8, use_rslora: true, model: MODEL });
    const source = await openSafetensors(nodeReader(golden('patterns')), 'adapter_model.safetensors');
    const base = await openCheckpoint(nodeReader(MODEL));
    expect(report.targets).toHaveLength(6);
    expect(report.trainable_parameters).toBe(report.targets.reduce((sum, { parameters }) => sum + parameters, 0));
    for (const { module, rank, alpha, scaling, update_norm, weight_norm } of report.targets) {
      const a = await readFloats(source, `base_model.model.${module}.lora_A.weight`);
      const b = await readFloats(source, `base_model.model.${module}.lora_B.weight`);
      const width = a.length / rank;
      const update = Float64Array.from({ length: (b.length / rank) * width }, (_, i) => {
        const [row, k] = [Math.floor(i / width), i % width];
        let sum = 0;
        for (let j = 0; j < rank; j++) sum += (b[row * rank + j] as number) * (a[j * width + k] as number);
        return sum * scaling;
      });
      expect(scaling).toBe(alpha / Math.sqrt(rank));
      expect(update_norm).toBeCloseTo(frobenius(update), 10);
      expect(weight_norm).toBeCloseTo(frobenius(await readFloats(base, `${module}.weight`)), 5);
    }
  });

  it('prints a line for the modules of each name, the count of PEFT, and the ratio', async () => {
    const { code, stdout } = await adapters(['inspect', golden('patterns'), '--model', MODEL]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/LoRA, rank 4, alpha 8 \(rsLoRA\), dropout 0/);
    expect(stdout).toMatch(/\ntrainable params: [\d,]+ \|\| all params: [\d,]+ \|\| trainable%: \d+\.\d{4}\n/);
    expect(stdout).toMatch(
      /\nq_proj +2 +2 to 4 +4 to 5\.66 +[\d,]+ +[\d.]+ to [\d.]+ +[\d.]+ to [\d.]+ % +model\.layers\.\d/,
    );
    expect(stdout.match(/^(q_proj|up_proj|v_proj) /gm)).toHaveLength(3);
  });

  it.each(['patterns', 'embedding', 'head', 'modules-to-save', 'bias-all', 'regex', 'layers', 'dora', 'default'])(
    '%s is the same without its base, but for what needs the weights',
    async (name) => {
      const copy = out('copy');
      mkdirSync(copy);
      for (const file of ['adapter_config.json', 'adapter_model.safetensors']) {
        const text = readFileSync(path.join(golden(name), file));
        const lost = file.endsWith('json') ? Buffer.from(String(text).replace('"../biased"', '"org/lost"')) : text;
        writeFileSync(path.join(copy, file), lost);
      }
      const own = await inspected(copy);
      const held = await inspected(golden(name), '--model', MODEL);
      expect(own.model).toBeNull();
      expect(own.trainable_parameters).toBe(held.trainable_parameters);
      const bare = held.targets.map((target) => ({
        ...target,
        weight_norm: null,
        update_norm: name === 'dora' ? null : target.update_norm,
      }));
      const byName = (a: { module: string }, b: { module: string }) => (a.module < b.module ? -1 : 1);
      expect([...own.targets].sort(byName)).toEqual([...bare].sort(byName));
      const { stdout } = await adapters(['inspect', copy]);
      expect(stdout).toContain('no update is held against its weight: there is no base at hand: --model DIR');
    },
  );

  it('a DoRA has the norms of what it makes of its base', async () => {
    const { method, targets } = await inspected(golden('dora'), '--model', MODEL);
    expect(method).toBe('dora');
    expect(targets.every(({ update_norm }) => update_norm !== null && update_norm > 0)).toBe(true);
  });
});

describe('nibble adapters combine', () => {
  const pair = [`--adapter`, `${golden('default')}=0.7`, '--adapter', `${golden('patterns')}=-0.6`, '--model', MODEL];

  it('writes an adapter that opens, and says what it is', async () => {
    const { code, stdout } = await adapters(['combine', out(), ...pair, '--combination_type', 'cat']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/sum: 0\.7 .*default \+ -0\.6 .*patterns, rank 10 on 6 modules, [\d.]+ KiB\n$/);
    const base = adapterBase(await readModelConfig(nodeReader(MODEL)));
    const { config, layout } = await openAdapter(nodeReader(out()), base);
    expect(config).toMatchObject({ r: 10, lora_alpha: 10, target_modules: ['q_proj', 'v_proj', 'up_proj'] });
    expect(layout.targets.every(({ scaling }) => scaling === 1)).toBe(true);
    expect(readdirSync(at)).toEqual(['sum']);
  });

  it('saves an adapted embedding as adapters have it, and the svd rank that was asked for', async () => {
    const args = ['--adapter', `${golden('embedding')}=2`, '--adapter', `${golden('head')}=1`, '--model', MODEL];
    const { code, stdout } = await adapters(['combine', out(), ...args, '--svd_rank', '3', '--json']);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ combination_type: 'svd', r: 3 });
    const source = await openSafetensors(nodeReader(out()), 'adapter_model.safetensors');
    const theirs = await openSafetensors(nodeReader(golden('embedding')), 'adapter_model.safetensors');
    const key = 'base_model.model.model.embed_tokens.lora_embedding_A';
    const [[, tokens]] = [theirs.info(key).shape];
    expect(source.info(key).shape).toEqual([3, tokens]);
  });

  it.each<[what: string, args: string[], message: string]>([
    ['a weight that is missing', ['--adapter', golden('default')], 'needs DIR=WEIGHT, such as ./law=0.5'],
    ['a weight that is no number', ['--adapter', `${golden('default')}=much`], 'needs DIR=WEIGHT'],
    [
      'a rank for cat',
      [...pair, '--combination_type', 'cat', '--svd_rank', '4'],
      'svd_rank: is for combination_type svd',
    ],
    ['ranks that differ, for linear', [...pair, '--combination_type', 'linear'], 'linear adds matrices of one rank'],
    ['another way', [...pair, '--combination_type', 'ties'], 'ties'],
    ['a DoRA', ['--adapter', `${golden('dora')}=1`, '--model', MODEL], 'is a DoRA'],
  ])('refuses %s, and writes nothing', async (_, args, message) => {
    const { code, stderr } = await adapters(['combine', out(), ...args]);
    expect(code).toBe(2);
    expect(stderr).toContain(message);
    expect(existsSync(out())).toBe(false);
  });

  it('refuses a folder that holds something, and a full disk', async () => {
    mkdirSync(out('taken'));
    writeFileSync(out('taken/a'), '');
    const taken = await adapters(['combine', out('taken'), ...pair]);
    expect(taken).toMatchObject({ code: 2, stderr: expect.stringContaining('is not empty (it holds a)') });
    const full = await adapters(['combine', out(), ...pair], 100);
    expect(full).toMatchObject({ code: 2, stderr: expect.stringContaining('on the disk') });
    expect(readdirSync(at)).toEqual(['taken']);
  });
});
