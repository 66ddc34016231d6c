/** Records the optimizer's kernel for some elements of a segment. */
import { KernelCallError } from '../errors.ts';
import type { Recorder } from '../gpu/recorder.ts';
import type { Tensor } from '../gpu/tensor.ts';
import { adamw } from '../kernels/adamw.ts';
import { adamw8bit } from '../kernels/adamw-8bit.ts';
import { lion } from '../kernels/lion.ts';
import { sgd } from '../kernels/sgd.ts';
import type { Segment } from '../model/flat.ts';
import type { HeldSpan } from './state-layout.ts';
import type { UpdateRule } from './update-rule.ts';

type Update = {
  readonly rule: UpdateRule;
  readonly segment: Segment;
  readonly span: HeldSpan;
  readonly metrics: Tensor;
  /** What 8-bit codes stand for; null where no tensor has any. */
  readonly codes: Tensor | null;
};

export function updateSpan(rec: Recorder, { rule, segment, span, metrics, codes }: Update): void {
  const { group, param, grad } = segment;
  const { formula, bits: _, ...settings } = rule;
  const common = {
    ...settings,
    weightDecay: group.decay ? settings.weightDecay : 0,
    rate: group.rate,
    p: param.slice(span.start, span.count),
    g: grad.slice(span.start, span.count),
    metrics,
  };
  const part = (index: number): Tensor => {
    const tensor = span.parts[index];
    if (tensor === undefined) throw new KernelCallError(formula, `has no part ${index} of its state`);
    return tensor;
  };
  if (formula === 'sgd') sgd(rec, common);
  else if (formula === 'lion') lion(rec, { ...common, m: part(0) });
  else if (group.bits === 32) adamw(rec, { ...common, m: part(0), v: part(1) });
  else if (codes !== null)
    adamw8bit(rec, { ...common, m: part(0), mAbsmax: part(1), v: part(2), vAbsmax: part(3), codes });
  else throw new KernelCallError('adamw_8bit', 'has no codes');
}
