/** How long a waiting loop sleeps, on a clock of the test's own. */
import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { restFor, sleepAfter } from '../../src/node/rest.ts';
import { rejection } from '../formats/files.ts';

/** A clock that only sleep moves, and what it slept. */
function clock() {
  let at = 0;
  const slept: number[] = [];
  const sleep = (ms: number): void => {
    at += ms;
    slept.push(ms);
  };
  return { now: () => at, sleep, slept };
}
const turns = async (count: number): Promise<void> => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
};

test('a share of what was waited, from the shortest sleep there is to a millisecond', () => {
  expect([0, 1, 1.7, 3.2, 32, 3200].map((ms) => sleepAfter(ms, false))).toEqual([0, 0, 1.7 / 32, 0.1, 1, 1]);
  expect([0, 1, 4, 8, 800].map((ms) => sleepAfter(ms, true))).toEqual([0.05, 0.125, 0.5, 1, 1]);
});

test('a wait sleeps longer from turn to turn, up to the longest, and its end ends the sleep', async () => {
  const { now, sleep, slept } = clock();
  let settle: (value: number) => void = () => undefined;
  const waiting = restFor(true, { now, sleep })(new Promise<number>((resolve) => (settle = resolve)));
  await turns(60);
  expect(slept.length).toBeGreaterThanOrEqual(58);
  expect(slept.slice(1).every((ms, i) => ms >= (slept[i] as number))).toBe(true);
  expect([slept[0], slept.at(-1)]).toEqual([0.05, 1]);
  settle(7);
  expect(await waiting).toBe(7);
  const count = slept.length;
  await turns(5);
  expect(slept.length).toBe(count);
});

test('two waits are one loop, which starts again from the shortest sleep when one of them ends', async () => {
  const { now, sleep, slept } = clock();
  const rest = restFor(true, { now, sleep });
  const settles: (() => void)[] = [];
  const waits = [0, 1].map(() => rest(new Promise<void>((resolve) => settles.push(resolve))));
  await turns(60);
  expect(slept.length).toBeLessThanOrEqual(61);
  settles[0]?.();
  await waits[0];
  const count = slept.length;
  await turns(3);
  expect(slept[count]).toBe(0.05);
  settles[1]?.();
  await waits[1];
});

test('what never settles does not keep the process alive', () => {
  const rest = new URL('../../dist/node/rest.js', import.meta.url).href;
  const program = `import(${JSON.stringify(rest)}).then(({ restFor }) => { restFor(true)(new Promise(() => undefined)); console.log('asked'); })`;
  const { status, signal, stdout } = spawnSync(process.execPath, ['-e', program], {
    timeout: 60_000,
    encoding: 'utf8',
  });
  expect([status, signal, stdout]).toEqual([0, null, 'asked\n']);
});

test('a rejection passes through and ends the wait', async () => {
  const { now, sleep, slept } = clock();
  const own = new Error('own');
  expect(await rejection(restFor(true, { now, sleep })(Promise.reject(own)))).toBe(own);
  const count = slept.length;
  await turns(5);
  expect(slept.length).toBe(count);
});
