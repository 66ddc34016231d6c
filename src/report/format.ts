/** Numbers as people read them. Files hold full precision; rounding, units and signs exist only here. */

const UNKNOWN = '–';
const MINUS = '−';
// A size that would be shown as 1024.0 of a unit belongs to the next one.
const ROUNDS_UP = 1024 / 1023.95;
const UNITS = ['KiB', 'MiB', 'GiB', 'TiB'] as const;

/** Bytes in the largest binary unit that keeps them above 1: `512 B`, `1.50 KiB`, `141.2 GiB`. */
export function formatBytes(bytes: number | null): string {
  if (bytes === null) return UNKNOWN;
  const size = Math.abs(bytes);
  if (size < 1024) return `${signed(bytes)}${size} B`;
  // 1,048,575 bytes are shown as 1.00 MiB, not as 1024.0 KiB
  const power = Math.min(Math.floor(Math.log2(size * ROUNDS_UP) / 10), UNITS.length);
  const scaled = size / 1024 ** power;
  return `${signed(bytes)}${scaled.toFixed(scaled < 100 ? 2 : 1)} ${UNITS[power - 1]}`;
}

/** A whole number with thousands separators: `7,356,416`. */
export function formatCount(count: number | null): string {
  return count === null
    ? UNKNOWN
    : `${signed(count)}${Math.abs(count).toLocaleString('en-US', { maximumFractionDigits: 0 })}`;
}

/** Milliseconds to a tenth, a thousandth below one: `612.4 ms`, `0.083 ms`. */
export function formatMs(ms: number | null): string {
  return ms === null ? UNKNOWN : `${formatFixed(ms, Math.abs(ms) < 1 ? 3 : 1)} ms`;
}

/** Seconds to a hundredth: `2.71 s`. */
export function formatSeconds(seconds: number | null): string {
  return seconds === null ? UNKNOWN : `${formatFixed(seconds, 2)} s`;
}

/** A fixed number of decimals. */
export function formatFixed(value: number | null, decimals: number): string {
  if (value === null) return UNKNOWN;
  const text = Math.abs(value).toFixed(decimals);
  // -0.0004 to three decimals is 0.000, which has no sign
  return `${Number(text) === 0 ? '' : signed(value)}${text}`;
}

/** A ratio: `×0.894`. */
export function formatRatio(ratio: number | null): string {
  return ratio === null ? UNKNOWN : `×${formatFixed(ratio, 3)}`;
}

/** A part of one as per cent to a tenth: `12.4 %`. */
export function formatPercent(part: number | null): string {
  return part === null ? UNKNOWN : `${formatFixed(part * 100, 1)} %`;
}

/** Puts a plus before what another formatter leaves bare; for differences. */
export function withSign(value: number | null, format: (value: number | null) => string): string {
  const text = format(value);
  return value !== null && value > 0 ? `+${text}` : text;
}

function signed(value: number): string {
  return value < 0 ? MINUS : '';
}

/** "1 row", "1,024 tokens". */
export function counted(count: number, noun: string): string {
  return `${count.toLocaleString('en-US')} ${noun}${count === 1 ? '' : 's'}`;
}
