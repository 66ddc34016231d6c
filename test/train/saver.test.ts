/** Which checkpoints a run keeps, and what it says when one cannot be written. */
import { expect, test } from 'vitest';
import { DataError } from '../../src/errors.ts';
import { type BestState, NOTHING_YET } from '../../src/train/best.ts';
import type { CheckpointStore } from '../../src/train/checkpoint-store.ts';
import { Saver } from '../../src/train/saving.ts';
import { rejection } from '../formats/files.ts';

/** A store of names; a write ends as `ending` says. */
function storeOf(names: string[], ending: () => void = () => {}): CheckpointStore {
  return {
    pathOf: (name) => `out/${name}`,
    names: async () => names.toSorted((a, b) => Number(a.slice(11)) - Number(b.slice(11))),
    write: async (name) => {
      ending();
      if (!names.includes(name)) names.push(name);
    },
    reader: () => {
      throw new Error('not read');
    },
    remove: async (name) => {
      names.splice(names.indexOf(name), 1);
    },
  };
}

const fill = async () => {};
const bestAt = (step: number): BestState => ({ ...NOTHING_YET, metric: 1, checkpoint: `checkpoint-${step}` });

async function keptOf(
  limit: number | null,
  steps: readonly number[],
  best: BestState = NOTHING_YET,
): Promise<string[]> {
  const names: string[] = [];
  const saver = new Saver(storeOf(names), { save_total_limit: limit }, null);
  for (const step of steps) await saver.save(step, best, fill);
  return names.map((name) => name.slice('checkpoint-'.length));
}

test('the oldest go first, by number; the newest and the best stay, whatever the limit', async () => {
  expect(await keptOf(null, [2, 4, 10])).toEqual(['2', '4', '10']);
  expect(await keptOf(3, [2, 4, 10])).toEqual(['2', '4', '10']);
  expect(await keptOf(2, [2, 4, 10])).toEqual(['4', '10']);
  expect(await keptOf(2, [2, 4, 6, 10], bestAt(2))).toEqual(['2', '10']);
  expect(await keptOf(1, [2, 4, 10], bestAt(4))).toEqual(['4', '10']);
  expect(await keptOf(1, [2, 4, 10])).toEqual(['10']);
});

test('what a disk says comes whole, and the last good checkpoint after it', async () => {
  let full = false;
  const store = storeOf([], () => {
    if (full) throw new DataError('out/checkpoint-4/a', 'no room is left. Free some.');
  });
  const saver = new Saver(store, { save_total_limit: null }, null);
  full = true;
  const first = await rejection(saver.save(2, NOTHING_YET, fill));
  expect(first.message).toBe('out/checkpoint-4/a: no room is left. Free some.');
  full = false;
  await saver.save(2, NOTHING_YET, fill);
  full = true;
  const later = await rejection(saver.save(4, NOTHING_YET, fill));
  expect(later).toBeInstanceOf(DataError);
  expect(later.message).toBe(
    'out/checkpoint-4/a: no room is left. Free some. The last good checkpoint is out/checkpoint-2; resume_from_checkpoint: true goes on from it.',
  );
});

test('the best one alone stays at the end of a run with a limit of one', async () => {
  const names = ['checkpoint-2', 'checkpoint-4'];
  await new Saver(storeOf(names), { save_total_limit: 2 }, null).keepBest(bestAt(2));
  expect(names).toEqual(['checkpoint-2', 'checkpoint-4']);
  await new Saver(storeOf(names), { save_total_limit: 1 }, null).keepBest(NOTHING_YET);
  expect(names).toEqual(['checkpoint-2', 'checkpoint-4']);
  await new Saver(storeOf(names), { save_total_limit: 1 }, null).keepBest(bestAt(2));
  expect(names).toEqual(['checkpoint-2']);
});
