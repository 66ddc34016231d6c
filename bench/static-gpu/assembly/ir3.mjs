/** Reads the assembly of ir3, Mesa's compiler for Adreno: labels and branches, and the two flags by which it waits. */
import { block, classified, instruction, linked } from './program.mjs';

/** @import { Block, Instruction, Kind, Program } from '../types.d.ts' */

/** @type {readonly (readonly [Kind, RegExp])[]} */
const KINDS = [
  ['fma', /^(mad\.f|add\.f|mul\.f)/],
  ['special', /^(rcp|rsq|log2|exp2|sin|cos|sqrt|hrsq|hlog2|hexp2)/],
  ['workgroup_load', /^ldl/],
  ['workgroup_store', /^stl/],
  ['private', /^(ldp|stp)/],
  ['global_load', /^(ldib|isam|ldg|ldc\.k)/],
  ['global_store', /^(stib|stg|atomic)/],
  ['barrier', /^bar/],
  ['wait', /^(nop|fence)/],
  ['branch', /^(br|jump|end|pred|shps|shpe|getone|kill|ret|call|bany|ball)/],
  ['constant', /^(ldc|stc|resinfo)/],
  ['convert', /^cov/],
  ['copy', /^(mov|sel|swz|gat|sct)/],
];
/** Nothing else in the listing begins like an instruction. */
const LINE = /^((?:\([a-z0-9]+\)\s*)*)([a-z][a-z0-9_]*(?:\.[a-z0-9]+)*)(.*)$/;
const BRANCH = /^(br|brao|braa|brac|bany|ball|jump|shps|getone|pred[tf])/;
const BITS = /\.(?:u|s|f|b)(8|16|32|64)/;

/** @param {string} text @returns {Program} */
export function parseIr3(text) {
  /** @type {Program} */
  const program = new Map();
  /** @type {Map<string, number>} */
  const labels = new Map();
  /** @type {{ from: Block, label: string }[]} */
  const jumps = [];
  let open = block(0);
  program.set(0, open);
  /** @param {boolean} fallsThrough */
  const start = (fallsThrough) => {
    const next = block(program.size);
    if (fallsThrough) open.successors.push(next.id);
    program.set(next.id, next);
    open = next;
  };
  for (const line of text.split('\n')) {
    const label = /^(l\d+):/.exec(line)?.[1];
    if (label !== undefined) {
      if (open.instructions.length > 0) start(true);
      labels.set(label, open.id);
      continue;
    }
    const [, flags = '', name = '', rest = ''] = LINE.exec(line) ?? [];
    if (name === '') continue;
    open.instructions.push(read(flags, name, rest));
    const to = BRANCH.test(name) ? /#(l\d+)/.exec(rest)?.[1] : undefined;
    if (to !== undefined) jumps.push({ from: open, label: to });
    if (name === 'end') break;
    if (to !== undefined) start(name !== 'jump');
  }
  for (const { from, label } of jumps) {
    const to = labels.get(label);
    if (to !== undefined) from.successors.push(to);
  }
  return linked(program);
}

/** @param {string} flags @param {string} name @param {string} rest @returns {Instruction} */
function read(flags, name, rest) {
  const kind = classified(KINDS, name, 'integer');
  const repeats = 1 + Number(/\(rpt(\d)\)/.exec(flags)?.[1] ?? 0);
  const idle = Number(/\(nop(\d)\)/.exec(flags)?.[1] ?? 0);
  const queues = ['sy', 'ss'].filter((flag) => flags.includes(`(${flag})`));
  return instruction({
    kind,
    clocks: repeats + idle,
    bytes: bytesOf(kind, name, rest),
    flops: name.startsWith('mad.f') ? 2 * repeats : 0,
    waits: queues.map((queue) => ({ queue, leave: 0 })),
    signals:
      kind === 'global_load' || kind === 'private'
        ? 'sy'
        : kind === 'workgroup_load' || kind === 'special'
          ? 'ss'
          : null,
  });
}

/** @param {Kind} kind @param {string} name @param {string} rest */
function bytesOf(kind, name, rest) {
  if (!/_(load|store)$|^private$/.test(kind)) return 0;
  const bits = Number(BITS.exec(name)?.[1] ?? /\((?:u|s|f)(16|32)\)/.exec(rest)?.[1] ?? 32);
  // the number of components is the last operand, in the name of a typed access, or a mask of channels
  const mask = /\(([xyzw]{1,4})\)/.exec(rest)?.[1]?.length;
  const count =
    mask ??
    (/^(ldl|stl|ldp|stp|ldg|stg)/.test(name)
      ? Number(/,\s*(\d)\s*$/.exec(rest)?.[1] ?? 1)
      : Number(/\.(\d)\.(?:imm|nonuniform|uniform)/.exec(name)?.[1] ?? 1));
  return (bits / 8) * count;
}
