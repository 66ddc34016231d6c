/** Cards as people call them, and what of their memory counts. */
import { describe, expect, test } from 'vitest';
import { ConfigError } from '../../src/errors.ts';
import { cardNamed } from '../../src/estimate/card-names.ts';
import { CARD_SIZES, CARDS } from '../../src/estimate/cards.ts';
import { KNOWN_PROFILES } from '../../src/gpu/device-profile.ts';

const GIB = 2 ** 30;
const named = (text: string) => cardNamed(text, '--gpu');

function refusal(text: string): string {
  try {
    named(text);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  throw new Error(`${text} was taken`);
}

describe('sizes', () => {
  test('are read as cards are sold, however they are written', () => {
    for (const text of ['24', '24gb', '24 GB', '24GB', '24g', '24GiB', ' 24gib '])
      expect(named(text), text).toMatchObject({ name: '24', title: '24 GB', bytes: 24 * GIB, maker: 'nvidia' });
    expect(named('48GB').bytes).toBe(48 * GIB);
    expect(named('11.5').bytes).toBe(11.5 * GIB);
    // nine tenths, rounded down
    expect(named('24').usableBytes).toBe(23_192_823_398);
  });

  test('that are none are refused, with what is wanted', () => {
    for (const text of ['0', '', '-8', '24mb', '1e9gb', 'twenty']) expect(refusal(text), text).toContain('such as 24');
  });
});

describe('names', () => {
  test('may have their maker, spaces, hyphens and capitals', () => {
    for (const text of ['rtx4090', 'RTX 4090', 'NVIDIA GeForce RTX 4090', 'rtx-4090'])
      expect(named(text), text).toMatchObject({ title: 'NVIDIA GeForce RTX 4090', bytes: 24 * GIB, maker: 'nvidia' });
    expect(named('rx7900xtx')).toMatchObject({ title: 'AMD Radeon RX 7900 XTX', bytes: 24 * GIB, maker: 'amd' });
    expect(named('arc-a770')).toMatchObject({ bytes: 16 * GIB, maker: 'intel' });
    expect(named('a100-80gb').bytes).toBe(80 * GIB);
  });

  test('of a Mac have the share that Metal recommends', () => {
    expect(named('m3-max-64')).toMatchObject({ title: 'Apple M3 Max with 64 GB', usableBytes: 48 * GIB });
    // llama.cpp's logs of a 16 GB Mac: recommendedMaxWorkingSetSize = 11453.25 MB
    expect(named('m1-16').usableBytes / 1e6).toBeCloseTo(11_453.25, 1);
    expect(named('Apple M1 Max 32GB').usableBytes).toBe(Math.floor((32 * GIB * 2) / 3));
  });

  test('that could be several, or are nearly one, say so', () => {
    expect(refusal('a100')).toContain('may be one of a100-40, a100-80');
    expect(refusal('rtx4091')).toMatch(/Did you mean rtx4090\?$/m);
  });

  test('are 92, each with limits that a plan can be recorded against', () => {
    expect(CARDS.size).toBe(92);
    for (const card of CARDS.values()) expect(KNOWN_PROFILES[card.maker], card.name).toBeDefined();
    expect(CARD_SIZES).toEqual([8, 12, 16, 24, 32, 40, 48, 80, 141]);
  });
});
