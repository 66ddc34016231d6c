/**
 * Kernels that go along rows come in two forms: a thread per row, and a workgroup per row whose lanes read side by side and
 * add up through workgroup memory. A GPU wants the second: of 4,096 rows a thread each fills no device, and its reads lie
 * a row apart. Software drivers want the first, since barriers are what they are slow at.
 */
import type { DeviceProfile } from '../gpu/device-profile.ts';

type RowWork = {
  readonly when: readonly string[];
  readonly grid: { readonly threads: number } | { readonly workgroups: number };
};

/** Condition and grid of a kernel over `rows` rows. */
export function rowWork({ tier }: DeviceProfile, rows: number): RowWork {
  return tier === 'direct'
    ? { when: [], grid: { threads: rows } }
    : { when: ['SHARED_ROW'], grid: { workgroups: rows } };
}
