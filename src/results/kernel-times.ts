/** GPU time of a step by kernel, from the span of every dispatch. */

export type DispatchSpan = { readonly label: string; readonly startNs: number; readonly endNs: number };

export type KernelTime = {
  /** Name of the shader; its variants count together. */
  readonly kernel: string;
  readonly dispatches: number;
  readonly ms: number;
  /** Part of all dispatches' time. */
  readonly share: number;
};

/** Sums the spans of each kernel, the longest first. What lies between dispatches belongs to none. */
export function kernelTimes(spans: readonly DispatchSpan[]): KernelTime[] {
  const found = new Map<string, { dispatches: number; ms: number }>();
  for (const { label, startNs, endNs } of spans) {
    // a label is the kernel's name and its variant, such as matmul_nt|VEC4
    const kernel = label.split('|')[0] ?? label;
    const { dispatches, ms } = found.get(kernel) ?? { dispatches: 0, ms: 0 };
    found.set(kernel, { dispatches: dispatches + 1, ms: ms + (endNs - startNs) / 1e6 });
  }
  const total = [...found.values()].reduce((sum, { ms }) => sum + ms, 0);
  return [...found]
    .map(([kernel, times]) => ({ kernel, ...times, share: total > 0 ? times.ms / total : 0 }))
    .sort((a, b) => b.ms - a.ms);
}
