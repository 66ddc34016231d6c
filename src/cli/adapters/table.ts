/** An adapter in words, and its modules in a table: one line for all modules of a name. */
import { lastSegment } from '../../adapters/base.ts';
import { trainableParametersLine } from '../../adapters/files.ts';
import type { AdapterReport, InspectedTarget } from '../../node/inspect-adapter.ts';
import { formatCount } from '../../report/format.ts';

/** Formats what `nibble adapters inspect` prints for a person. */
export function reportInWords(report: AdapterReport): string {
  const { method, r, lora_alpha, use_rslora, bias, modules_to_save, base_model_name_or_path: base } = report;
  const scale = use_rslora ? ' (rsLoRA)' : '';
  const kind = `${method === 'dora' ? 'DoRA' : 'LoRA'}, rank ${r}, alpha ${lora_alpha}${scale}, dropout ${report.lora_dropout}`;
  const trained = [
    ...(bias === 'none' ? [] : [`biases: ${bias}`]),
    ...(report.lora_bias ? ['biases on lora_B'] : []),
    ...Object.entries(report.trainable_tokens).map(([name, { length }]) => `${tokenCount(length)} of ${name}`),
    ...(modules_to_save === null ? [] : [`trained whole: ${modules_to_save.join(', ')}`]),
  ];
  const { trainable_parameters: trainable, all_parameters: all } = report;
  const counts = all === null ? `trainable params: ${formatCount(trainable)}` : trainableParametersLine(trainable, all);
  const from = report.model !== null && report.model !== base ? ` (read: ${report.model})` : '';
  const lines = [
    `${report.adapter}: ${[kind, ...trained].join('; ')}`,
    `base: ${base ?? 'not recorded'}${from}`,
    counts,
    '',
    ...table(report.targets),
  ];
  return `${lines.join('\n')}\n${note(report)}`;
}

const tokenCount = (count: number): string => `${count} ${count === 1 ? 'token' : 'tokens'}`;

function note({ model, targets }: AdapterReport): string {
  if (targets.every(({ weight_norm }) => weight_norm !== null)) return '';
  const why = model === null ? 'there is no base at hand: --model DIR' : `${model} has no weights`;
  return `\nno update is held against its weight: ${why}\n`;
}

const HEAD = ['modules', 'count', 'rank', 'scaling', 'parameters', 'norm of update', 'of the weight', 'largest in'];

function table(targets: readonly InspectedTarget[]): string[] {
  const groups = new Map<string, InspectedTarget[]>();
  for (const target of targets) {
    const name = lastSegment(target.module);
    groups.set(name, [...(groups.get(name) ?? []), target]);
  }
  const rows = [HEAD, ...[...groups].map(([name, group]) => row(name, group))];
  const widths = HEAD.map((_, column) => largest(rows.map((cells) => (cells[column] as string).length)));
  return rows.map((cells) =>
    cells
      .map((cell, i) =>
        i === 0 || i === HEAD.length - 1 ? cell.padEnd(widths[i] as number) : cell.padStart(widths[i] as number),
      )
      .join('  ')
      .trimEnd(),
  );
}

function row(name: string, group: readonly InspectedTarget[]): string[] {
  const ratios = group.flatMap(({ update_norm: update, weight_norm: weight }) =>
    update === null || weight === null || weight === 0 ? [] : [update / weight],
  );
  const sizes = ratios.length > 0 ? ratios : group.flatMap(({ update_norm }) => update_norm ?? []);
  const widest = sizes.length === 0 ? null : group[sizes.indexOf(largest(sizes))];
  const norms = group.flatMap(({ update_norm }) => update_norm ?? []);
  return [
    name,
    String(group.length),
    range(
      group.map(({ rank }) => rank),
      String,
    ),
    range(
      group.map(({ scaling }) => scaling),
      short,
    ),
    formatCount(group.reduce((sum, { parameters }) => sum + parameters, 0)),
    range(norms, short),
    range(ratios, (ratio) => `${short(100 * ratio)} %`),
    widest?.module ?? '–',
  ];
}

const largest = (values: readonly number[]): number => values.reduce((a, b) => Math.max(a, b), -Infinity);

const short = (value: number): string => String(Number(value.toPrecision(3)));

function range(values: readonly number[], format: (value: number) => string): string {
  if (values.length === 0) return '–';
  const [least, most] = [-largest(values.map((value) => -value)), largest(values)].map(format) as [string, string];
  return least === most ? least : `${least.replace(/ %$/, '')} to ${most}`;
}
