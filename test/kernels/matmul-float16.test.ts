import { describe, expect } from 'vitest';
import { FLAG } from '../../src/kernels/flags.ts';
import { itFloat16 } from '../gpu/float16.ts';
import { type Case, exactHalves, expectSums, extents, PROFILES, runCase, SIZES, sizesOf } from './matmul-cases.ts';

// the other tile of simt differs in nothing that float16 touches
for (const name of ['direct', 'simt']) {
  const profile = PROFILES[name] ?? {};
  describe(`matmul ${name} with w in f16`, () => {
    for (const op of ['nt', 'nn'] as const) {
      for (const size of SIZES) {
        const sizes = sizesOf(op, size);
        itFloat16(`${op} ${sizes.join('x')}`, async () => {
          const outcome = await runCase(profile, { op, sizes, half: true, maxWorkgroups: 7 });
          expectSums(outcome);
          expect(outcome.flags).toBe(0);
        });
      }
    }

    for (const op of ['nt', 'nn'] as const) {
      for (const [what, value, input, weight] of [
        ['the largest f16 number', 65504, 0, 0],
        ['a value past it', 65505, FLAG.input, 0],
        ['its negative', -70000, FLAG.input, FLAG.weight],
        ['infinity', Number.POSITIVE_INFINITY, FLAG.input, FLAG.weight],
        ['NaN', Number.NaN, FLAG.input, FLAG.weight],
      ] as const) {
        itFloat16(`${op} flags ${what} among its float16 operands`, async () => {
          for (const sizes of [sizesOf(op, [18, 20, 24]), sizesOf(op, [18, 19, 21]), sizesOf(op, [18, 16, 256])]) {
            const one: Case = { op, sizes, half: true };
            const size = extents(one);
            const operands = () => ({ first: exactHalves(1, size.first), second: exactHalves(2, size.second) });
            const bad = operands();
            bad.first[size.first - 1] = value;
            expect((await runCase(profile, one, bad)).flags).toBe(input);
            const badWeight = operands();
            badWeight.second[size.second - 1] = value;
            expect((await runCase(profile, one, badWeight)).flags).toBe(weight);
          }
        });
      }
    }
  });
}
