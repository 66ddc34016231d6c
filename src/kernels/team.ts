/**
 * Kernels that go along rows come in two forms: a thread per row, and a workgroup per row whose lanes read side by side and
 * add up through workgroup memory. A GPU wants the second: a thread for each of 4,096 rows leaves it mostly idle, and neighbours
 * read a row apart. Software drivers want the first, since barriers are slow there.
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
