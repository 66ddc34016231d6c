/** Documents packed into rows: the losses and the gradients that the same documents have as rows of their own. */
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import type { TrainConfig } from '../../src/config/settings.ts';
import { type MicroBatch, makeMicroBatch } from '../../src/data/batch.ts';
import { packRows } from '../../src/data/pack.ts';
import type { Row } from '../../src/data/row.ts';
import type { Checkpointing } from '../../src/model/ops/context.ts';
import { random } from '../ref/compare.ts';
import { GOLDEN, openModel } from './open.ts';

// in rows of 16: 11 + 3 + 1 and 9 + 6, a token of padding each; longer than mistral's window of 8, and shorter
const LENGTHS = [3, 11, 1, 6, 9];
const DOCUMENTS = LENGTHS.map((length, i): Row => {
  const ids = random(i + 1).integers(length, 100);
  return {
    inputIds: Uint32Array.from(ids),
    labels: i === 1 ? Int32Array.from(ids, (id, t) => (t < 4 ? -100 : id)) : null,
  };
});
const PACKED = packRows(DOCUMENTS, 16, 'bfd');

/** Losses of what is predicted, document by document, the longest first: no two are of one length. */
function byDocument(losses: Float32Array, { labels, S }: MicroBatch, rows: readonly Row[]): number[] {
  const pieces = rows.flatMap(({ inputIds, documents = [inputIds.length] }, b) => {
    const before = (i: number) => documents.slice(0, i).reduce((sum, length) => sum + length, 0);
    return documents.map((length, i) => ({ length, start: b * S + before(i) }));
  });
  const places = pieces
    .sort((a, b) => b.length - a.length)
    .flatMap(({ length, start }) => Array.from({ length }, (_, t) => start + t));
  return places.filter((t) => labels[t] !== -100).map((t) => losses[t] as number);
}

async function run(
  name: string,
  config: Partial<TrainConfig>,
  rows: readonly Row[],
  options: { checkpointing?: Checkpointing; told?: boolean } = {},
) {
  const { checkpointing = 'off', told = true } = options;
  const batch = makeMicroBatch(rows, { padId: 0 });
  const shape = { B: batch.B, S: batch.S };
  const open = await openModel(path.join(GOLDEN, name), { config, shape, checkpointing });
  const values = random(3);
  for (const { param } of open.declared.trainable.segments) open.write(param, values.normal32(param.elements, 0.1));
  const losses = await open.run('train', batch.inputIds, batch.labels, told ? batch.documents : null);
  const gradients = await open.gradients();
  open.destroy();
  return { losses: byDocument(losses, batch, rows), gradients };
}

/** The largest difference, as a part of the largest value. */
function difference(a: readonly number[] | Float32Array, b: readonly number[] | Float32Array): number {
  expect(a.length).toBe(b.length);
  const peak = Math.max(...b.map(Math.abs));
  expect(peak).toBeGreaterThan(0);
  return Math.max(...[...a].map((value, i) => Math.abs(value - (b[i] as number)))) / peak;
}

// Sums in another order: f32 (eps 6e-8) over 26 positions and two layers reaches 3e-7.
const RTOL = 2e-6;

const LLAMA = 'llama/untied-gqa-f32';
const QLORA = { method: 'qlora', load_in_4bit: true, bnb_4bit_use_double_quant: true } as const;
const CASES: [string, string, Partial<TrainConfig>, Checkpointing][] = [
  ['LoRA, grouped keys and values', LLAMA, { method: 'lora' }, 'off'],
  ['QLoRA, checkpointed', LLAMA, QLORA, 'full'],
  ['a sliding window, checkpointed selectively', 'architectures/mistral/dense', { method: 'lora' }, 'selective'],
];

describe.each(CASES)('%s', (_, name, config, checkpointing) => {
  test('losses and gradients of packed rows are those of the documents apart', async () => {
    const settings = { lora_target_modules: 'all-linear', ...config };
    const apart = await run(name, settings, DOCUMENTS);
    const packed = await run(name, settings, PACKED, { checkpointing });
    expect(apart.losses).toHaveLength(22);
    expect(difference(packed.losses, apart.losses)).toBeLessThanOrEqual(RTOL);
    expect(apart.gradients.size).toBeGreaterThan(10);
    for (const [tensor, gradient] of apart.gradients) {
      const error = difference(packed.gradients.get(tensor) as Float32Array, gradient);
      expect(error, tensor).toBeLessThanOrEqual(RTOL);
    }
  });
});

test('without their documents the same rows have other losses', async () => {
  const config = { lora_target_modules: 'all-linear', method: 'lora' } as const;
  const told = await run(LLAMA, config, PACKED);
  const untold = await run(LLAMA, config, PACKED, { told: false });
  expect(difference(untold.losses, told.losses)).toBeGreaterThan(1e-3);
});
