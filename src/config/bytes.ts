/** Sizes of memory as people write them: bytes, or a number with a unit. */

const UNITS: Readonly<Record<string, number>> = {
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
};

/** `40GB`, `1.5 GiB`: a number, and one of the units as they are spelled here. */
export const SIZE = /^(\d+(?:\.\d+)?) ?(KB|MB|GB|TB|KiB|MiB|GiB|TiB)$/;

/** Converts a size that fits SIZE to whole bytes. */
export function bytesOfSize(size: number | string): number {
  if (typeof size === 'number') return size;
  const [, amount, unit = ''] = SIZE.exec(size) ?? [];
  return Math.floor(Number(amount) * (UNITS[unit] ?? Number.NaN));
}

/** Formats bytes in GiB, or in MiB below one GiB, with two decimals. */
export function sizeInWords(bytes: number): string {
  const unit = bytes < 2 ** 30 ? 'MiB' : 'GiB';
  return `${(bytes / (UNITS[unit] as number)).toFixed(2)} ${unit}`;
}
