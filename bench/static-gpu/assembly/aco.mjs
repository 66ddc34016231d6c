/** Reads the assembly of ACO, Mesa's compiler for AMD: blocks, and the counters by which it waits for memory. */
import { block, classified, instruction, linked } from './program.mjs';

/** @import { Block, Instruction, Kind, Program } from '../types.d.ts' */

/** @type {readonly (readonly [Kind, RegExp])[]} */
const KINDS = [
  ['matrix', /^v_(dual_)?(wmma|swmmac)/],
  ['fma', /^v_(dual_)?(pk_)?(fma|fmac|fmaak|fmamk|add_f|sub_f|mul_f|dot2)/],
  ['special', /^v_(s_)?(exp|log|rcp|rsq|sqrt)/],
  ['workgroup_load', /^ds_(load|read)/],
  ['workgroup_store', /^ds_(store|write)/],
  ['global_load', /^(global|buffer|flat)_load/],
  ['global_store', /^(global|buffer|flat)_(store|atomic)/],
  ['private', /^scratch_/],
  ['barrier', /^s_barrier(?!_signal)/],
  ['wait', /^s_(wait|delay|clause|nop|setprio|sleep|inst_prefetch|set_inst|barrier_signal)/],
  ['constant', /^s_(load|buffer_load)/],
  ['branch', /^s_(cbranch|branch|endpgm)/],
  ['convert', /^v_(dual_)?(cvt|pack)/],
  ['copy', /^v_(dual_)?(mov|cndmask|perm|readlane|readfirst|writelane|max3?_u|max_u)/],
  ['scalar', /^s_/],
];
const MEMORY = new Set(['workgroup_load', 'workgroup_store', 'global_load', 'global_store', 'private']);

/** Counters as RDNA2 and 3 wait for them in one instruction, and as RDNA4 does by one instruction each. */
const COUNTERS = [
  ['global', /vmcnt\((\d+)\)/],
  ['workgroup', /lgkmcnt\((\d+)\)/],
];
const RDNA4_WAIT = /^s_wait_(loadcnt|dscnt|loadcnt_dscnt)\s+(0x[0-9a-f]+|\d+)/;

/** @param {string} text @returns {Program} */
export function parseAco(text) {
  /** @type {Program} */
  const program = new Map();
  /** @type {Block | null} */
  let open = null;
  /** @type {{ from: Block, to: number }[]} */
  const jumps = [];
  /** Blocks that do not run into the next one. @type {Set<Block>} */
  const closed = new Set();
  for (const line of text.split('\n')) {
    const label = /^BB(\d+):/.exec(line);
    if (label !== null) {
      open = block(Number(label[1]));
      program.set(open.id, open);
    } else if (open !== null) {
      for (const part of (line.split(';')[0] ?? '').split('::')) {
        const words = part.trim();
        if (words === '') continue;
        open.instructions.push(read(words));
        const jump = /^s_(cbranch\w*|branch)\s+BB(\d+)/.exec(words);
        if (jump !== null) jumps.push({ from: open, to: Number(jump[2]) });
        if (jump?.[1] === 'branch' || words.startsWith('s_endpgm')) closed.add(open);
      }
    }
  }
  const blocks = [...program.values()];
  for (const [i, { id }] of blocks.entries()) {
    const before = blocks[i - 1];
    if (before !== undefined && !closed.has(before)) before.successors.push(id);
  }
  for (const { from, to } of jumps) if (program.has(to)) from.successors.push(to);
  return linked(program);
}

/** @param {string} words @returns {Instruction} */
function read(words) {
  const name = words.split(/\s+/)[0] ?? '';
  const kind = classified(KINDS, name, 'integer');
  return instruction({
    kind,
    bytes: MEMORY.has(kind) ? bytesOf(name) : 0,
    flops: flopsOf(kind, name),
    waits: waitsOf(words),
    signals: kind === 'global_load' ? 'global' : /^ds_/.test(name) ? 'workgroup' : null,
  });
}

/** @param {string} words @returns {Instruction['waits']} */
function waitsOf(words) {
  const [, counter, text] = RDNA4_WAIT.exec(words) ?? [];
  if (counter === undefined) {
    return COUNTERS.flatMap(([queue, pattern]) => {
      const leave = /** @type {RegExp} */ (pattern).exec(words)?.[1];
      return leave === undefined ? [] : [{ queue: /** @type {string} */ (queue), leave: Number(leave) }];
    });
  }
  const count = Number(text);
  if (counter === 'loadcnt') return [{ queue: 'global', leave: count }];
  if (counter === 'dscnt') return [{ queue: 'workgroup', leave: count }];
  // both at once: loads in the second byte
  return [
    { queue: 'global', leave: count >> 8 },
    { queue: 'workgroup', leave: count & 0xff },
  ];
}

/** @param {string} name */
function bytesOf(name) {
  const wide = /_b(\d+)/.exec(name)?.[1];
  const twice = /^ds_(load|store|read|write)_?2/.test(name) ? 2 : 1;
  const narrow = /_(?:u|i|d16_?|b)(8|16)/.exec(name)?.[1];
  return (twice * Number(wide ?? narrow ?? 32)) / 8;
}

/** A dual instruction is written as two, so each counts its own. @param {Kind} kind @param {string} name */
function flopsOf(kind, name) {
  const [, m, n, k] = /_(\d+)x(\d+)x(\d+)/.exec(name) ?? [];
  if (kind === 'matrix') return 2 * Number(m) * Number(n) * Number(k);
  if (kind !== 'fma' || !/_(fma|fmac|fmaak|fmamk|dot2)/.test(name)) return 0;
  return /_(pk_|dot2)/.test(name) ? 4 : 2;
}
