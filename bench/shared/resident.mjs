/** What a process grows by, as a witness beside the ledger: on a software driver GPU buffers are ordinary memory. Linux only. */
import { readFileSync, writeFileSync } from 'node:fs';
import v8 from 'node:v8';
import vm from 'node:vm';

/** @param {'VmRSS' | 'VmHWM'} field of proc(5)'s status @returns {number} bytes */
function status(field) {
  const [, kib] = new RegExp(`${field}:\\s+(\\d+)`).exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return Number(kib) * 1024;
}

/** Collects garbage now, whether or not the process was started with --expose-gc. */
export function collectGarbage() {
  v8.setFlagsFromString('--expose-gc');
  vm.runInNewContext('gc')();
}

/** @returns {() => number} bytes that the process grew by at most, from now until its call */
export function watchGrowth() {
  collectGarbage();
  writeFileSync('/proc/self/clear_refs', '5'); // resets the high-water mark
  const before = status('VmRSS');
  return () => status('VmHWM') - before;
}
