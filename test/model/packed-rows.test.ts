/** A row or two through a 4-bit weight: evaluation takes the packed codes themselves, training decodes them; both say the same. */
import path from 'node:path';
import { expect, test } from 'vitest';
import { decoderLoss } from '../../src/model/decoder.ts';
import { expectClose } from '../ref/compare.ts';
import { GOLDEN, openModel } from './open.ts';

const qlora = { method: 'qlora', load_in_4bit: true, bnb_4bit_use_double_quant: true, lora_r: 2 } as const;

async function losses(S: number, limit: number | null) {
  const limits = limit === null ? {} : { maxStorageBufferBindingSize: limit };
  const directory = path.join(GOLDEN, 'llama', 'untied-gqa-f32');
  const open = await openModel(directory, { config: qlora, shape: { B: 1, S }, limits });
  const kernels = (phase: 'train' | 'eval') => {
    const tape = open.tape();
    const ctx = { tape, computeDtype: 'f32', B: 1, S, phase } as const;
    decoderLoss(ctx, open.declared.model, open.inputs.ids, open.inputs, false);
    return tape.commands.flatMap((c) => (c.kind === 'dispatch' ? c.kernel.spec.name : []));
  };
  const [ids, labels] = [Uint32Array.of(5, 9).slice(0, S), Int32Array.of(9, 30).slice(0, S)];
  const trained = await open.run('train', ids, labels);
  const evaluated = await open.run('eval', ids, labels);
  const names = { train: kernels('train'), eval: kernels('eval') };
  open.destroy();
  return { trained, evaluated, names };
}

const count = (names: readonly string[], name: string) => names.filter((n) => n === name).length;

test.each([1, 2])('%i tokens', async (S) => {
  const { trained, evaluated, names } = await losses(S, null);
  expect(count(names.eval, 'matvec_4bit')).toBeGreaterThan(10);
  expect(count(names.eval, 'dequant_4bit')).toBe(0);
  expect(count(names.train, 'matvec_4bit')).toBe(0);
  expect(count(names.train, 'dequant_4bit')).toBe(count(names.eval, 'matvec_4bit'));
  // f32 sums in another order; losses near ln 128
  expectClose('losses', evaluated, trained, { rtol: 2e-6, atol: 0 });
});

test('shards of a few rows, which start at blocks: the same losses', async () => {
  const [whole, sharded] = [await losses(2, null), await losses(2, 10_240)];
  expect(count(sharded.names.eval, 'matvec_4bit')).toBeGreaterThan(count(whole.names.eval, 'matvec_4bit'));
  // the head in shards sums its logits in another order
  expectClose('losses', sharded.evaluated, whole.evaluated, { rtol: 2e-6, atol: 0 });
});
