/** Chooses among the products of subgroup matrices that an adapter offers, and how many lanes do one. */
import type { MatrixConfig } from './device-profile.ts';

/** The part of an adapter's info that matters here, as Dawn 0.6.2 has it; @webgpu/types lacks `subgroupMatrixConfigs`. */
export type SubgroupInfo = {
  readonly vendor?: string;
  readonly subgroupMinSize?: number;
  readonly subgroupMaxSize?: number;
  readonly subgroupMatrixConfigs?: Iterable<SubgroupMatrixConfig>;
};
export type SubgroupMatrixConfig = {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
};

/** Lanes where a device has several sizes: what AMD's matrices need, and one of the two that Intel's take. */
const PREFERRED_LANES = 32;

/** RDNA3 reads a right matrix whose lines run along its columns by halves, 80 times where 32 reads do otherwise. */
const GATHERS = 'amd';

/** The largest f16 product with f32 sums; null where there is none, or where its subgroup size cannot be named. */
export function matrixConfigOf(info: SubgroupInfo, canNameSize: boolean): MatrixConfig | null {
  const { subgroupMinSize: min = 0, subgroupMaxSize: max = 0 } = info;
  const sized = min !== max;
  if (max === 0 || (sized && !canNameSize)) return null;
  const subgroupSize = Math.min(Math.max(PREFERRED_LANES, min), max);
  const products = [...(info.subgroupMatrixConfigs ?? [])]
    .filter((c) => c.componentType === 'f16' && c.resultComponentType === 'f32')
    .sort((a, b) => b.M * b.N * b.K - a.M * a.N * a.K);
  const [largest] = products;
  if (largest === undefined) return null;
  const { M, N, K } = largest;
  return { M, N, K, subgroupSize, sized, ...(info.vendor === GATHERS && { turned: true }) };
}
