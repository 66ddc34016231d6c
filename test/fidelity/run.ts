/** 50 steps of nibble on the data, the adapter and the base of a golden file, as it is or with a bug planted in it. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TrainConfig } from '../../src/config/settings.ts';
import type { Batch } from '../../src/train/engine.ts';
import { learningRateMultiplier } from '../../src/train/schedule.ts';
import { openEngine } from '../train/open.ts';
import type { Reference, Run } from './compare.ts';
import { adapters, expected, folder, METHODS, type Method, type Name, type Step, tokens } from './golden.ts';

/** What a run is given in place of the right values. */
export type Planted = {
  readonly settings?: Partial<TrainConfig>;
  /** Entries of the base's config.json. */
  readonly model?: Readonly<Record<string, unknown>>;
  /** Entries of adapter_config.json. */
  readonly adapter?: Readonly<Record<string, unknown>>;
};

const PEFT_PREFIX = 'base_model.model.';

export function reference(name: Name, method: Method): Reference {
  return { curve: expected(name)[method], ...adapters(name, method) };
}

/** Trains as the CLI would: loader, planner and engine, with the settings of tokens.json. */
export async function trainLike(name: Name, method: Method, planted: Planted = {}): Promise<Run> {
  const base = planted.model ? changed(folder(name, METHODS[method]), 'config.json', planted.model) : null;
  const adapter = planted.adapter
    ? changed(folder(name, 'adapter-init'), 'adapter_config.json', planted.adapter)
    : null;
  try {
    const overrides = {
      ...tokens.config,
      method,
      adapter_name_or_path: adapter ?? folder(name, 'adapter-init'),
      ...planted.settings,
    } as Partial<TrainConfig>;
    return await run(base ?? folder(name, METHODS[method]), overrides);
  } finally {
    for (const copy of [base, adapter]) if (copy !== null) rmSync(copy, { recursive: true });
  }
}

async function run(directory: string, overrides: Partial<TrainConfig>): Promise<Run> {
  const shape = shapeOf(tokens.steps[0] as Step);
  const shapes = { train: [shape], evaluation: [] };
  const { engine, config, declared } = await openEngine(directory, overrides, shapes);
  const [loss, grad_norm]: [number[], number[]] = [[], []];
  for (const [i, step] of tokens.steps.entries()) {
    const got = await engine.trainStep([toBatch(step)], scalars(config, i, tokensIn(step)), (updates) =>
      ratesAt(config, updates),
    );
    if (!got.finite) throw new Error(`step ${i}: a gradient is not finite`);
    loss.push(got.loss);
    grad_norm.push(got.gradNorm);
  }
  const final = new Map<string, Float32Array>();
  for (const [name, { param }] of declared.trainable.tensors)
    final.set(`${PEFT_PREFIX}${name}`, await engine.readTensor(param));
  engine.destroy();
  return { curve: { loss, grad_norm }, final };
}

function scalars(config: TrainConfig, step: number, lossTokens: number) {
  return { ...ratesAt(config, step), inv_tokens: 1 / lossTokens, loss_scale: 1, step, seed: 0 };
}

/** What an update takes from the number of updates before it. */
function ratesAt(config: TrainConfig, updates: number) {
  const rate = learningRateMultiplier(config.lr_scheduler_type, updates, 0, tokens.steps.length);
  const t = updates + 1;
  return {
    lr: config.learning_rate * rate,
    bias1: 1 - config.adam_beta1 ** t,
    sqrt_bias2: Math.sqrt(1 - config.adam_beta2 ** t),
  };
}

function shapeOf({ input_ids }: Step) {
  return { B: input_ids.length, S: (input_ids[0] as number[]).length };
}

/** A label is the target of the position before it: the first of a row never counts. */
function shifted({ labels }: Step): number[] {
  return labels.flatMap((row) => [...row.slice(1), -100]);
}

function tokensIn(step: Step): number {
  return shifted(step).filter((label) => label !== -100).length;
}

function toBatch(step: Step): Batch {
  return {
    ...shapeOf(step),
    inputIds: Uint32Array.from(step.input_ids.flat()),
    labels: Int32Array.from(shifted(step)),
  };
}

/** A copy of a directory with entries of one JSON file replaced; the caller removes it. */
export function changed(directory: string, file: string, entries: Readonly<Record<string, unknown>>): string {
  const copy = mkdtempSync(path.join(tmpdir(), 'nibble-fidelity-'));
  cpSync(directory, copy, { recursive: true });
  const json = JSON.parse(readFileSync(path.join(copy, file), 'utf8')) as Record<string, unknown>;
  for (const key of Object.keys(entries)) if (!(key in json)) throw new Error(`${file} has no ${key} to change`);
  writeFileSync(path.join(copy, file), JSON.stringify({ ...json, ...entries }));
  return copy;
}
