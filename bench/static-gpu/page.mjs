/** The table of docs/static-gpu.md, written between its two marks. */
import { readFileSync, writeFileSync } from 'node:fs';
import { chipNamed } from './chips.mjs';
import { DataError } from './from-nibble.mjs';
import { figure } from './table.mjs';

/** @typedef {import('./rows.mjs').ModelledStep} ModelledStep */

const PAGE = new URL('../../docs/static-gpu.md', import.meta.url);
const OPENS = '<!-- modelled steps: written by npm run static-gpu -- --write-page -->';
const CLOSES = '<!-- end of modelled steps -->';
const HEAD = [
  'card',
  'step',
  'ms',
  'tokens/s',
  'products',
  'attention',
  'LoRA',
  'dequantization',
  'elementwise',
  'gaps',
];

/** The fastest tier of each step that a chip can take. @param {readonly ModelledStep[]} steps */
function best(steps) {
  /** @type {Map<string, ModelledStep>} */
  const found = new Map();
  for (const one of steps) {
    const { model, batch, sequence, checkpointing } = one.plan;
    const key = [model, batch, sequence, checkpointing].join();
    if ((found.get(key)?.step.ms ?? Number.POSITIVE_INFINITY) > one.step.ms) found.set(key, one);
  }
  return [...found.values()];
}

/** @param {string} chip @param {ModelledStep} modelled */
function line(chip, { plan, step }) {
  const name = `${plan.model}, ${plan.batch} x ${plan.sequence.toLocaleString('en-US')}, ${plan.tier}${plan.checkpointing ? '' : ', no checkpointing'}`;
  const parts = ['gemm', 'attention', 'lora', 'dequant', 'elementwise', 'gaps'].map((part) =>
    figure(step.parts[part] ?? 0),
  );
  const cells = [
    chipNamed(chip).card,
    name,
    figure(step.ms),
    figure((1e3 * plan.batch * plan.sequence) / step.ms),
    ...parts,
  ];
  return `| ${cells.join(' | ')} |`;
}

/** @param {Readonly<Record<string, readonly ModelledStep[]>>} steps by chip */
export function writePage(steps) {
  const text = readFileSync(PAGE, 'utf8');
  const [start, end] = [text.indexOf(OPENS), text.indexOf(CLOSES)];
  if (start < 0 || end < start)
    throw new DataError('docs/static-gpu.md', `has to hold the lines ${OPENS} and ${CLOSES}`);
  const lines = Object.entries(steps).flatMap(([chip, all]) => best(all).map((one) => line(chip, one)));
  const table = [
    `| ${HEAD.join(' | ')} |`,
    `|${HEAD.map((_, i) => (i < 2 ? ' --- ' : ' ---: ')).join('|')}|`,
    ...lines,
  ].join('\n');
  writeFileSync(PAGE, `${text.slice(0, start)}${OPENS}\n\n${table}\n\n${text.slice(end)}`);
}
