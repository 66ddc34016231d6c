/** The tables of docs/static-gpu.md, each written between its two marks. */
import { readFileSync, writeFileSync } from 'node:fs';
import { chipNamed } from './chips.mjs';
import { DataError } from './from-nibble.mjs';
import { figure } from './table.mjs';

/** @typedef {import('./rows.mjs').ModelledStep} ModelledStep */
/** @typedef {import('./rows.mjs').ModelledToken} ModelledToken */

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

const TOKEN_OPENS = '<!-- modelled tokens: written by npm run static-gpu -- --write-page -->';
const TOKEN_CLOSES = '<!-- end of modelled tokens -->';
const TOKEN_HEAD = ['card', 'sequences', 'ms', 'tokens/s', 'weights', 'attention', 'elementwise', 'gaps', 'bandwidth'];

/** @param {string} chip @param {ModelledToken} modelled */
function tokenLine(chip, { plan, token }) {
  const name = `${plan.model}, ${plan.base}, ${plan.batch} x ${plan.context.toLocaleString('en-US')}`;
  const parts = ['weights', 'attention', 'elementwise', 'gaps'].map((part) => figure(token.parts[part] ?? 0, 2));
  const cells = [
    chipNamed(chip).card,
    name,
    figure(token.ms, 2),
    figure((1e3 * plan.batch) / token.ms),
    ...parts,
    `${figure(100 * token.bandwidth_share)} %`,
  ];
  return `| ${cells.join(' | ')} |`;
}

/** @param {string} text @param {string} opens @param {string} closes @param {readonly string[]} head @param {readonly string[]} lines */
function withTable(text, opens, closes, head, lines) {
  const [start, end] = [text.indexOf(opens), text.indexOf(closes)];
  if (start < 0 || end < start)
    throw new DataError('docs/static-gpu.md', `has to hold the lines ${opens} and ${closes}`);
  const rule = `|${head.map((_, i) => (i < 2 ? ' --- ' : ' ---: ')).join('|')}|`;
  const table = [`| ${head.join(' | ')} |`, rule, ...lines].join('\n');
  return `${text.slice(0, start)}${opens}\n\n${table}\n\n${text.slice(end)}`;
}

/** @param {Readonly<Record<string, { steps: readonly ModelledStep[], tokens: readonly ModelledToken[] }>>} found by chip */
export function writePage(found) {
  const chips = Object.entries(found);
  const steps = chips.flatMap(([chip, all]) => best(all.steps).map((one) => line(chip, one)));
  const tokens = chips.flatMap(([chip, all]) => all.tokens.map((one) => tokenLine(chip, one)));
  const text = withTable(readFileSync(PAGE, 'utf8'), OPENS, CLOSES, HEAD, steps);
  writeFileSync(PAGE, withTable(text, TOKEN_OPENS, TOKEN_CLOSES, TOKEN_HEAD, tokens));
}
