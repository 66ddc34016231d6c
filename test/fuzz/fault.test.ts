/** The fuzzer sees every kind of fault that it is there for, and repeats its inputs. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ConfigError, DataError } from '../../src/errors.ts';
import { judge } from './fault.ts';
import { type Reader, require } from './reader.ts';
import { fuzz } from './run.ts';

const readerThat = (read: Reader['read']): Reader => ({ name: 'planted', share: 1, inputs: fc.nat(9), read });
const throws = (error: unknown) => () => {
  throw error;
};
const refuses = (message: string) => throws(new ConfigError([{ path: 'lora_r', message }]));

test.each([
  ['an error that is none of ours', throws(new TypeError('x is not a function')), /TypeError: x is not a function/],
  ['something thrown that is no error', throws('no'), /threw no/],
  ['what contradicts itself', () => require(1 + 1 === 3, 'sums are wrong'), /Inconsistent: sums are wrong/],
  ['a message that nobody reads', throws(new DataError('f', 'x'.repeat(30_000))), /a message of 30003 characters/],
  ['a message with a hole', refuses('is undefined, wanted 8'), /a message with a hole/],
  ['a message with an object', refuses('got [object Object]'), /a message with a hole/],
  ['a message that a terminal follows', throws(new DataError('f', 'is \u001b[2J')), /control characters/],
])('%s is a fault', async (_, read, what) => {
  expect(await judge(readerThat(read), 1)).toEqual({ kind: 'fault', what: expect.stringMatching(what) });
});

test('what is taken and what is refused in our words are none', async () => {
  expect(
    await judge(
      readerThat(() => undefined),
      1,
    ),
  ).toEqual({ kind: 'accepted' });
  expect(await judge(readerThat(refuses('got 0, wanted 8')), 1)).toEqual({ kind: 'refused' });
});

test('a seed gives the same inputs again, and another one others', async () => {
  const inputsOf = async (seed: number): Promise<unknown[]> => {
    const seen: unknown[] = [];
    const big: Reader = { ...readerThat((input) => void seen.push(input)), inputs: fc.nat() };
    const { runs, accepted } = await fuzz(big, 250, seed);
    expect([runs, accepted]).toEqual([250, 250]);
    return seen;
  };
  const [first, again, other] = [await inputsOf(1), await inputsOf(1), await inputsOf(2)];
  expect(again).toEqual(first);
  expect(other).not.toEqual(first);
  // batches do not repeat one another: of edges, which come often, there are few
  expect(new Set(first).size).toBeGreaterThan(100);
});
