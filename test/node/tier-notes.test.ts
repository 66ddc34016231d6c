import { expect, test } from 'vitest';
import { tierNotes } from '../../src/node/run-notes.ts';
import type { RunTiers } from '../../src/train/tiers.ts';

const matmul = { tier: 'subgroup_matrix', reason: 'the device has it' } as const;
const simt = { tier: 'simt', reason: 'a head dim of 512' } as const;
const lora = (forward: string, backward: string, operands = 'float16') =>
  ({ forward, backward, operands }) as unknown as RunTiers['lora'];
const ROUNDED = "LoRA: summed within its layer's product, A, B and what they multiply rounded to float16 there";

test('attention is named where its tier is another; LoRA where its operands are rounded, and where not', () => {
  expect(tierNotes({ matmul, attention: matmul, lora: null })).toEqual([
    'matrix products: subgroup_matrix (the device has it)',
  ]);
  expect(tierNotes({ matmul, attention: simt, lora: lora('folded', 'folded', 'float32') })).toEqual([
    'matrix products: subgroup_matrix (the device has it)',
    'attention: simt (a head dim of 512)',
  ]);
  const last = (of: RunTiers['lora']) => tierNotes({ matmul, attention: matmul, lora: of }).at(-1);
  expect(last(lora('folded', 'folded'))).toBe(ROUNDED);
  expect(last(lora('folded', 'separate'))).toBe(`${ROUNDED}; not in backward, for its dropout`);
  expect(last(lora('separate', 'separate'))).toBe(`${ROUNDED}; not in forward, for its dropout`);
});
