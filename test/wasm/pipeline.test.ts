/** Lanes: order, failures, and what is still under way when a call has ended. */
import { expect, test } from 'vitest';
import { inLanes, Pool } from '../../src/wasm/pipeline.ts';

const after = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

test('pieces end in order, as many at once as there are lanes, each in a lane of its own', async () => {
  const ended: number[] = [];
  const busy = new Set<string>();
  let most = 0;
  await inLanes(new Pool(['a', 'b', 'c']), 10, {
    begin: async (lane: string, k) => {
      expect(busy.has(lane)).toBe(false);
      busy.add(lane);
      most = Math.max(most, busy.size);
      // the first of three takes longest
      await after(3 - (k % 3));
      return { lane, k };
    },
    end: (result, k) => {
      expect(result.k).toBe(k);
      ended.push(k);
      busy.delete(result.lane);
    },
  });
  expect(ended).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  expect(most).toBe(3);
});

test('the error of the first piece in order is thrown, after all that had begun; the lanes are free again', async () => {
  const pool = new Pool([0, 1, 2]);
  let [begun, underWay] = [0, 0];
  const run = inLanes(pool, 100, {
    begin: async (_lane: number, k) => {
      begun++;
      underWay++;
      // piece 4 fails long before piece 3 does
      await after(k === 3 ? 8 : 0);
      underWay--;
      if (k === 3 || k === 4) throw new Error(`piece ${k}`);
      return k;
    },
    end: () => undefined,
  });
  await expect(run).rejects.toThrow('piece 3');
  expect(underWay).toBe(0);
  expect(begun).toBeLessThan(10);
  expect((await Promise.all([pool.take(), pool.take(), pool.take()])).sort()).toEqual([0, 1, 2]);
});

test('what `end` throws passes through; nothing to do ends at once', async () => {
  const pool = new Pool([0]);
  const begin = async (_lane: number, k: number) => k;
  const end = (_result: number, k: number) => {
    if (k === 1) throw new Error('no room');
  };
  await expect(inLanes(pool, 3, { begin, end })).rejects.toThrow('no room');
  let allBegun = 0;
  await inLanes(pool, 0, { begin, end, onAllBegun: () => allBegun++ });
  expect(allBegun).toBe(1);
});
