/** A row or two through a 4-bit weight: evaluation takes the packed codes themselves, training decodes them; both say the same. */
import path from 'node:path';
import { expect, test } from 'vitest';
import { decoderLoss } from '../../src/model/decoder.ts';
import { expectClose } from '../ref/compare.ts';
import { GOLDEN, openModel } from './open.ts';

const qlora = { method: 'qlora', load_in_4bit: true, bnb_4bit_use_double_quant: true, lora_r: 2 } as const;

test.each([
  [1, null],
  [2, null],
  // shards of 80 rows of 64, which start at blocks
  [2, 10_240],
] as const)('%i tokens, bindings of %s bytes', async (S, limit) => {
  const limits = limit === null ? {} : { maxStorageBufferBindingSize: limit };
  const open = await openModel(path.join(GOLDEN, 'llama', 'untied-gqa-f32'), {
    config: qlora,
    shape: { B: 1, S },
    limits,
  });
  const kernels = (phase: 'train' | 'eval') => {
    const tape = open.tape();
    const ctx = { tape, computeDtype: 'f32', B: 1, S, dropout: phase } as const;
    decoderLoss(ctx, open.declared.model, open.inputs.ids, open.inputs, false);
    return tape.commands.flatMap((c) => (c.kind === 'dispatch' ? c.kernel.spec.name : []));
  };
  expect(kernels('eval')).toContain('matvec_4bit');
  expect(kernels('eval')).not.toContain('dequant_4bit');
  expect(kernels('train')).toContain('dequant_4bit');
  expect(kernels('train')).not.toContain('matvec_4bit');
  const [ids, labels] = [Uint32Array.of(5, 9).slice(0, S), Int32Array.of(9, 30).slice(0, S)];
  const [trained, evaluated] = [await open.run('train', ids, labels), await open.run('eval', ids, labels)];
  // f32 sums in another order; losses near ln 128
  expectClose('losses', evaluated, trained, { rtol: 2e-6, atol: 0 });
  open.destroy();
});
