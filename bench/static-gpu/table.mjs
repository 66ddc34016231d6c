/** What a person reads: the kernels of a chip with what binds each, and the modelled steps. */

/** @import { Chip, Row } from './types.d.ts' */
/** @typedef {import('./rows.mjs').ModelledStep} ModelledStep */
/** @typedef {import('./rows.mjs').ModelledToken} ModelledToken */

/** Columns padded to their widest cell, the first two to the left. @param {readonly (readonly string[])[]} lines */
export function aligned(lines) {
  const widths = (lines[0] ?? []).map((_, i) => Math.max(...lines.map((line) => (line[i] ?? '').length)));
  return lines
    .map((line) =>
      line
        .map((cell, i) => (i < 2 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** @param {number | null} value @param {number} [digits] */
export const figure = (value, digits = 0) => (value === null ? '-' : value.toFixed(digits));

/** A rate with two digits at least. @param {number | null} value */
export const tflopsFigure = (value) => figure(value, value !== null && value < 10 ? 1 : 0);

/** Tiles without what every one of the device's matrices shares. @param {string} variant */
export const shortVariant = (variant) =>
  variant
    .split(' ')
    .filter((word) => !/^(SG|SK|SM|SN|SIZED|VEC4(_\w+)?)(=|$)/.test(word))
    .join(' ');

const HEAD = [
  'kernel',
  'variant',
  'registers',
  'scratch',
  'spills',
  'resident',
  'instr/matrix',
  'of it copies',
  'clocks a round',
  'TFLOP/s',
  'GB/s',
  'bytes/instr',
  'bound by',
];

/** @param {Row} row */
const cells = (row) => [
  row.kernel,
  shortVariant(row.variant),
  `${row.registers}`,
  `${row.scratch_bytes}`,
  `${row.spills}`,
  `${row.resident_workgroups}`,
  figure(row.instructions_per_matrix, 1),
  figure(row.copies_per_matrix, 1),
  figure(row.round_clocks),
  tflopsFigure(row.tflops),
  figure(row.gigabytes_per_second),
  figure(row.bytes_per_instruction, 2),
  row.bound_by,
];

/** @param {string} name @param {Chip} chip @param {string} device @param {readonly Row[]} rows */
export function kernelTable(name, chip, device, rows) {
  const parts = [`${name}: ${chip.card}, compiled by ${device}; modelled, not measured`];
  for (const tier of new Set(rows.map((row) => row.tier))) {
    const own = rows
      .filter((row) => row.tier === tier)
      .sort((a, b) => (a.kernel < b.kernel ? -1 : a.kernel > b.kernel ? 1 : 0));
    const told = own.filter((row) => row.bound_by !== 'memory' || row.scratch_bytes > 0 || row.spills > 0);
    parts.push(`\n${tier}`, aligned([HEAD, ...told.map(cells)]));
    const rest = own.filter((row) => !told.includes(row));
    if (rest.length > 0)
      parts.push(
        `and ${rest.length} bound by memory, without scratch: ${[...new Set(rest.map((row) => row.kernel))].join(', ')}`,
      );
  }
  return parts.join('\n');
}

/** @param {ModelledStep} modelled */
export const stepName = ({ plan: { model, batch, sequence, checkpointing, tier } }) =>
  `${model} ${batch}x${sequence} ${tier}${checkpointing ? '' : ' without checkpointing'}`;

/** Milliseconds by kind of dispatch; `lora by replay` is what their own code would take, in place of the assumed time. @param {readonly ModelledStep[]} steps */
export function stepTable(steps) {
  if (steps.length === 0) return 'no step is modelled: the model takes the simt and subgroup_matrix tiers';
  const head = [
    'modelled step',
    '',
    'ms',
    'tokens/s',
    'gemm',
    'attention',
    'lora',
    'dequant',
    'elementwise',
    'gaps',
    'dispatches',
    'lora by replay',
  ];
  const lines = steps.map((modelled) => {
    const { plan, step } = modelled;
    const part = (/** @type {string} */ name) => figure(step.parts[name] ?? 0);
    return [
      stepName(modelled),
      '',
      figure(step.ms),
      figure((1e3 * plan.batch * plan.sequence) / step.ms),
      ...['gemm', 'attention', 'lora', 'dequant', 'elementwise', 'gaps'].map(part),
      `${step.dispatches}`,
      figure(step.derivedLoraMs),
    ];
  });
  return aligned([head, ...lines]);
}

/** @param {ModelledToken} modelled */
export const tokenName = ({ plan: { model, batch, context, base } }) => `${model} ${base} ${batch}x${context} decode`;

/** Milliseconds of a token of each sequence, by kind of dispatch. @param {readonly ModelledToken[]} tokens */
export function tokenTable(tokens) {
  const head = [
    'modelled token',
    '',
    'ms',
    'tokens/s',
    'weights',
    'attention',
    'elementwise',
    'gaps',
    'dispatches',
    'bandwidth',
  ];
  const lines = tokens.map((modelled) => {
    const { plan, token } = modelled;
    const part = (/** @type {string} */ name) => figure(token.parts[name] ?? 0, 2);
    return [
      tokenName(modelled),
      '',
      figure(token.ms, 2),
      figure((1e3 * plan.batch) / token.ms),
      ...['weights', 'attention', 'elementwise', 'gaps'].map(part),
      `${token.dispatches}`,
      `${figure(100 * token.bandwidth_share)} %`,
    ];
  });
  return aligned([head, ...lines]);
}
