/** Numbers as people read them. Everything else in nibble keeps bytes, milliseconds and plain counts. */

const KIB = 1024;
const BYTE_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/** 1536 -> "1.50 KiB"; three significant digits, so that two figures side by side can be compared. */
export function formatBytes(bytes: number): string {
  if (!Number.isFinite(bytes)) return '–';
  let unit = 0;
  let amount = Math.abs(bytes);
  // 1023.6 KiB would print as "1024 KiB": the step is taken where the rounding would reach it.
  while (unit < BYTE_UNITS.length - 1 && amount >= KIB - 0.5) {
    amount /= KIB;
    unit++;
  }
  const digits = unit === 0 ? String(Math.round(amount)) : significant(amount);
  return `${bytes < 0 ? '-' : ''}${digits} ${BYTE_UNITS[unit]}`;
}

/** 950 -> "950 ms", 61_500 -> "1 min 02 s", 3_720_000 -> "1 h 02 min". */
export function formatDuration(ms: number): string {
  if (!Number.isFinite(ms)) return '–';
  if (ms < 999.5) return ms < 9.995 ? `${ms.toFixed(2)} ms` : `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${twoDigits(whole % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${twoDigits(minutes % 60)} min`;
}

/** 1234567 -> "1,234,567", the same on every machine whatever its language. */
export function formatCount(count: number): string {
  return Number.isFinite(count) ? String(Math.round(count)).replace(/\B(?=(\d{3})+$)/g, ',') : '–';
}

/** 6.74e9 -> "6.74 B": parameters, tokens. */
export function formatLarge(count: number): string {
  const scale = [
    { from: 1e12, name: 'T' },
    { from: 1e9, name: 'B' },
    { from: 1e6, name: 'M' },
    { from: 1e3, name: 'k' },
    // 999.6 of a unit prints as 1.00 of the next.
  ].find(({ from }) => Math.abs(count) >= from * 0.9995);
  if (!Number.isFinite(count)) return '–';
  return scale === undefined ? String(Math.round(count)) : `${significant(count / scale.from)} ${scale.name}`;
}

/** 0.0345 -> "3.5 %". */
export function formatPercent(fraction: number, decimals = 1): string {
  return Number.isFinite(fraction) ? `${(fraction * 100).toFixed(decimals)} %` : '–';
}

/** Three significant digits without an exponent. */
function significant(amount: number): string {
  if (amount >= 99.95) return amount.toFixed(0);
  return amount >= 9.995 ? amount.toFixed(1) : amount.toFixed(2);
}

const twoDigits = (value: number): string => String(value).padStart(2, '0');
