/** estimate() and quantize(), called by a program. */
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { estimateCommand } from '../../src/cli/estimate/command.ts';
import { runEstimate, runGenerateEstimate } from '../../src/cli/estimate/run.ts';
import { quantizeCommand } from '../../src/cli/quantize/command.ts';
import { runQuantize } from '../../src/cli/quantize/run.ts';
import {
  ConfigError,
  type EstimateEvent,
  type EstimateOptions,
  estimate,
  KNOWN_PROFILES,
  type QuantizeEvent,
  type QuantizeOptions,
  quantize,
} from '../../src/index.ts';
import { nibble } from '../cli/fakes.ts';

const GOLDEN = new URL('../golden/', import.meta.url).pathname;
const MODEL = path.join(GOLDEN, 'llama/tied-mha-bf16');
const CONFIG = JSON.parse(readFileSync(path.join(MODEL, 'config.json'), 'utf8')) as object;

const root = mkdtempSync(path.join(tmpdir(), 'nibble-front-door-'));
afterAll(() => rmSync(root, { recursive: true }));
let at = '';
let made = 0;
beforeEach(() => {
  at = path.join(root, String(made++));
  mkdirSync(at);
});

/** Returns the problems of a call that must be refused for its options. */
async function problemsOf(call: Promise<unknown>): Promise<readonly { path: string; message: string }[]> {
  const error: unknown = await call.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(ConfigError);
  return (error as ConfigError).problems;
}

describe('estimate', () => {
  const settings = {
    max_length: 32,
    per_device_train_batch_size: 2,
    lora_r: 4,
    lora_target_modules: ['q_proj', 'v_proj'],
  };

  it('gives what nibble estimate --json prints', async () => {
    const flags = [
      '--max_length=32',
      '--per_device_train_batch_size=2',
      '--lora_r=4',
      '--lora_target_modules=q_proj,v_proj',
    ];
    const { stdout, stderr } = await nibble(
      ['estimate', MODEL, '--json', ...flags],
      [(context) => estimateCommand(context, runEstimate, runGenerateEstimate)],
    );
    const result = await estimate({ model_name_or_path: MODEL, ...settings, guide: true });
    expect(result, stderr).toEqual(JSON.parse(stdout));
    expect(result.estimates.map(({ method }) => method)).toEqual(['lora', 'qlora', 'full']);
  });

  it('takes what stands in a config.json, and a profile as data, for the same figures', async () => {
    const named = await estimate({ model_name_or_path: MODEL, ...settings, profile: 'lavapipe' });
    const given = await estimate({ model_config: CONFIG, ...settings, profile: KNOWN_PROFILES.lavapipe });
    expect(given).toEqual({ ...named, model: 'model_config' });
  });

  it('takes the settings of an adapter, beside a folder and beside a config', async () => {
    const model = path.join(GOLDEN, 'llama/untied-gqa-f32');
    const model_config = JSON.parse(readFileSync(path.join(model, 'config.json'), 'utf8')) as object;
    const adapter_name_or_path = path.join(GOLDEN, 'peft-steps/lora/adapter-init');
    const beside = await estimate({ model_config, adapter_name_or_path });
    expect(beside.estimates).toEqual((await estimate({ model_name_or_path: model, adapter_name_or_path })).estimates);
    expect(beside.estimates).not.toEqual((await estimate({ model_config })).estimates);
    expect(await problemsOf(estimate({ model_config, adapter_name_or_path, lora_r: 3 }))).toMatchObject([
      { path: 'lora_r', message: expect.stringContaining('(options)') },
    ]);
  });

  it('tells its methods and its notices', async () => {
    const events: EstimateEvent[] = [];
    const onEvent = (event: EstimateEvent) => events.push(event);
    await estimate({ model_config: CONFIG, ...settings, optim: 'adamw_torch_fused', onEvent });
    expect(events.filter(({ type }) => type === 'note')).toEqual([
      { type: 'note', text: 'optim: "adamw_torch_fused" is the same formula as adamw_torch' },
    ]);
    expect(events.slice(1)).toEqual([
      { type: 'phase', phase: 'estimate', total: 3 },
      ...['lora', 'qlora', 'full'].map((label) => ({ type: 'progress', phase: 'estimate', label })),
    ]);
  });

  it('names all that is wrong in the options', async () => {
    const options = { model_name_or_path: MODEL, max_length: '64', lorra_r: 8, profile: 'nvida' };
    const problems = await problemsOf(estimate(options as unknown as EstimateOptions));
    expect(problems.map(({ path }) => path).sort()).toEqual(['lorra_r', 'max_length', 'profile']);
    const messages = problems.map(({ message }) => message).join('\n');
    expect(messages).toContain('got "64", wanted an integer of at least 2, or null (options)');
    expect(messages).toContain('did you mean lora_r? (options)');
    expect(messages).toContain('wanted one of nvidia, amd, intel, apple, lavapipe, swiftshader');
  });

  it('wants one model', async () => {
    expect(await problemsOf(estimate({}))).toMatchObject([{ path: 'model_name_or_path' }]);
    const both = { model_name_or_path: MODEL, model_config: CONFIG };
    expect(await problemsOf(estimate(both))).toMatchObject([{ path: 'model_config' }]);
    expect(await problemsOf(estimate({ model_name_or_path: path.join(at, 'gone') }))).toMatchObject([
      { path: 'model_name_or_path', message: expect.stringContaining('there is no folder') },
    ]);
  });

  it('ends at the next method once aborted, with the reason', async () => {
    const controller = new AbortController();
    const labels: string[] = [];
    const onEvent = (event: EstimateEvent) => {
      if (event.type === 'progress') labels.push(event.label);
      if (labels.length === 2) controller.abort(new Error('enough'));
    };
    const { signal } = controller;
    await expect(estimate({ model_config: CONFIG, ...settings, onEvent, signal })).rejects.toThrow('enough');
    expect(labels).toEqual(['lora', 'qlora']);
  });
});

describe('quantize', () => {
  const out = (name = 'out') => path.join(at, name);

  it('writes what nibble quantize writes, and returns what that prints', async () => {
    const args = ['--bnb_4bit_use_double_quant', '--bnb_4bit_blocksize=128', '--max_shard_size=40KB', '--json'];
    const theirs = await nibble(
      ['quantize', MODEL, out('theirs'), ...args],
      [(context) => quantizeCommand(context, runQuantize)],
    );
    const summary = await quantize({
      model_name_or_path: MODEL,
      output_dir: out('ours'),
      bnb_4bit_use_double_quant: true,
      bnb_4bit_blocksize: 128,
      max_shard_size: 40_000,
    });
    const printed = JSON.parse(theirs.stdout) as { seconds: number };
    expect(summary).toEqual({ ...printed, out: out('ours'), seconds: summary.seconds });
    const files = readdirSync(out('theirs')).sort();
    expect(readdirSync(out('ours')).sort()).toEqual(files);
    expect(files.length).toBeGreaterThan(3);
    for (const file of files)
      expect(readFileSync(out(`ours/${file}`)).equals(readFileSync(out(`theirs/${file}`))), file).toBe(true);
  });

  it('tells both phases, weight by weight', async () => {
    const events: QuantizeEvent[] = [];
    const onEvent = (event: QuantizeEvent) => events.push(event);
    const { quantized_tensors } = await quantize({ model_name_or_path: MODEL, output_dir: out(), onEvent });
    const phases = events.flatMap((e) => (e.type === 'phase' ? [[e.phase, e.total]] : []));
    expect(phases).toEqual([
      ['quantize', quantized_tensors],
      ['write', 20],
    ]);
    const told = (phase: string) => events.filter((e) => e.type === 'progress' && e.phase === phase).length;
    expect([told('quantize'), told('write')]).toEqual([quantized_tensors, 20]);
  });

  it('names all that is wrong in the options', async () => {
    const options = { output_dir: out(), bnb_4bit_quant_type: 'nf5', bnb_4bit_block_size: 64, dtype: 'int8' };
    const problems = await problemsOf(quantize(options as unknown as QuantizeOptions));
    expect(problems.map(({ path }) => path)).toEqual([
      'model_name_or_path',
      'bnb_4bit_quant_type',
      'bnb_4bit_block_size',
      'dtype',
    ]);
    expect(problems[2]?.message).toContain('did you mean bnb_4bit_blocksize? (options)');
    expect(readdirSync(at)).toEqual([]);
  });

  it('calls a wrong folder by the name of its option', async () => {
    cpSync(path.join(MODEL, 'config.json'), out('full/config.json'));
    expect(await problemsOf(quantize({ model_name_or_path: MODEL, output_dir: out('full') }))).toMatchObject([
      { path: 'output_dir', message: expect.stringContaining('is not empty (it holds config.json)') },
    ]);
    expect(await problemsOf(quantize({ model_name_or_path: out('gone'), output_dir: out() }))).toMatchObject([
      { path: 'model_name_or_path' },
    ]);
  });

  it('leaves nothing once aborted, or when a listener throws', async () => {
    const controller = new AbortController();
    const call = { model_name_or_path: MODEL, output_dir: out() };
    const abort = () => controller.abort(new Error('enough'));
    await expect(quantize({ ...call, onEvent: abort, signal: controller.signal })).rejects.toThrow('enough');
    await expect(quantize({ ...call, signal: AbortSignal.abort(new Error('before')) })).rejects.toThrow('before');
    const fail = () => {
      throw new Error('listener');
    };
    await expect(quantize({ ...call, onEvent: fail })).rejects.toThrow('listener');
    expect(readdirSync(at)).toEqual([]);
  });
});
