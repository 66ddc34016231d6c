import { describe, expect, it } from 'vitest';
import { addFwd } from '../../src/kernels/add.ts';
import { Bench } from './harness.ts';

const wave = (n: number, k: number) => Float32Array.from({ length: n }, (_, i) => Math.sin(i * k) * 3);

describe('a recorded program', () => {
  for (const n of [1, 63, 64, 257, 1000]) {
    it(`runs two dependent dispatches over ${n} elements through an arena slot`, async () => {
      const bench = new Bench({ maxWorkgroups: 7 });
      const a = wave(n, 0.7);
      const b = wave(n, 0.3);
      const x = bench.input('a', a);
      const z = bench.input('b', b);
      const middle = bench.tape.tensor('middle', [n]);
      const y = bench.output('y', [n]);
      addFwd(bench.tape, { a: x, b: z, y: middle });
      addFwd(bench.tape, { a: middle, b: z, y });
      await bench.run();
      const want = a.map((v, i) => Math.fround(Math.fround(v + (b[i] as number)) + (b[i] as number)));
      expect([...(await bench.read(y))]).toEqual([...want]);
    });
  }
});
