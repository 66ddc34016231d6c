/** Sizes of memory as people write them: bytes, or a number with a unit. */

import { z } from 'zod';

const UNITS: Readonly<Record<string, number>> = {
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
  TIB: 2 ** 40,
};

/** `40GB`, `1.5 gib`: a number and a unit, in capitals or not. */
const SIZE = /^(\d+(?:\.\d+)?)\s*([KMGTkmgt][Ii]?[Bb])$/;

/** Type of a setting that is a size: bytes, or a number with a unit; at least a byte, in whole numbers that are exact. */
export const sizeType = z.union([
  z.int().min(1),
  z
    .string()
    .regex(SIZE)
    .refine((size) => bytesOfSize(size) >= 1 && Number.isSafeInteger(bytesOfSize(size)))
    .meta({ examples: ['40GB', '40GiB'] }),
]);

/** Converts a size to whole bytes; NaN for a text that is none. */
export function bytesOfSize(size: number | string): number {
  if (typeof size === 'number') return size;
  const [, amount, unit = ''] = SIZE.exec(size) ?? [];
  return Math.floor(Number(amount) * (UNITS[unit.toUpperCase()] ?? Number.NaN));
}

/** Formats bytes in GiB, or in MiB below one GiB, with two decimals. */
export function sizeInWords(bytes: number): string {
  return bytes < 2 ** 30 ? `${(bytes / 2 ** 20).toFixed(2)} MiB` : `${(bytes / 2 ** 30).toFixed(2)} GiB`;
}
