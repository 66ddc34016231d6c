/** What quantizing did to the weights: root mean squared error and cosine by layer, for each way to store the base. */
import type { RunRecord } from '../../results/run-schema.ts';
import type { SuiteSummary } from '../../results/summary-schema.ts';
import { goodRuns, groupLabel, orderedArms } from '../arms.ts';
import { quantErrorChart } from '../charts/quant-error.ts';
import { MOST_CURVES } from '../charts/rows.ts';
import { countFigure, figure, fixedFigure, paragraph, ratioFigure, type Section } from '../document.ts';

type TensorError = NonNullable<RunRecord['train_info']['quantization_error']>[number];
export type ArmError = { readonly arm: string; readonly tensors: readonly TensorError[] };

/** Pools the errors of tensors: the root of the mean over all their elements. */
export function pooledRmse(tensors: readonly TensorError[]): number {
  const elements = tensors.reduce((sum, tensor) => sum + tensor.elements, 0);
  return Math.sqrt(tensors.reduce((sum, { rmse, elements: n }) => sum + rmse * rmse * n, 0) / elements);
}

/** Shows the errors of each way to store the base, smallest first; null where none was measured. */
export async function quantErrorSection(runs: readonly RunRecord[], summary: SuiteSummary): Promise<Section | null> {
  const measured = orderedArms(summary).flatMap((group): ArmError[] => {
    const run = goodRuns(runs, group).find(({ train_info }) => (train_info.quantization_error?.length ?? 0) > 0);
    return run === undefined ? [] : [{ arm: groupLabel(group), tensors: run.train_info.quantization_error! }];
  });
  const arms = withoutRepeats(measured).sort((a, b) => pooledRmse(a.tensors) - pooledRmse(b.tensors));
  const [least] = arms;
  if (least === undefined) return null;
  return {
    id: 'quantization',
    heading: 'What quantizing did to the weights',
    blocks: [
      paragraph(
        'Each weight as it is decoded in a step against what the checkpoint holds, in the unit of the weights. It depends on the base and ',
        'on how it is stored, not on the seed; arms that store it alike share a row.',
      ),
      ...(arms.length <= MOST_CURVES ? [await quantErrorChart(arms)] : []),
      {
        kind: 'table',
        id: 'quantization-error',
        caption: 'Error of all quantized weights',
        columns: ['arm', 'weights', 'parameters', 'RMSE', 'over the least', 'cosine, lowest of a weight'],
        rows: arms.map(({ arm, tensors }) => [
          arm,
          countFigure(tensors.length),
          countFigure(tensors.reduce((sum, { elements }) => sum + elements, 0)),
          figure(pooledRmse(tensors), (value) => (value === null ? '–' : value.toExponential(3))),
          ratioFigure(pooledRmse(tensors) / pooledRmse(least.tensors)),
          fixedFigure(
            tensors.reduce((low, { cosine }) => Math.min(low, cosine), 1),
            6,
          ),
        ]),
      },
    ],
  };
}

/** Puts arms with the very same errors into one row. */
function withoutRepeats(arms: readonly ArmError[]): ArmError[] {
  const byErrors = new Map<string, { readonly tensors: ArmError['tensors']; readonly names: string[] }>();
  for (const { arm, tensors } of arms) {
    const key = JSON.stringify(tensors);
    byErrors.set(key, { tensors, names: [...(byErrors.get(key)?.names ?? []), arm] });
  }
  return [...byErrors.values()].map(({ tensors, names }) => {
    const [first = '', second] = names;
    if (second === undefined) return { tensors, arm: first };
    return { tensors, arm: names.length === 2 ? `${first}; ${second}` : `${first} and ${names.length - 1} more` };
  });
}
