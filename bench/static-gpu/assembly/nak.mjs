/** Reads the assembly of NAK, Mesa's compiler for NVIDIA: blocks, delays, and the six scoreboards that loads signal. */
import { block, classified, instruction, linked } from './program.mjs';

/** @import { Block, Instruction, Kind, Program } from '../types.d.ts' */

const SCOREBOARDS = 6;

/** @type {readonly (readonly [Kind, RegExp])[]} */
const KINDS = [
  ['matrix', /^(hmma|imma)/],
  ['fma', /^(ffma|hfma2|fmul|fadd|hmul2|hadd2)/],
  ['special', /^mufu/],
  ['workgroup_load', /^(ldsm|ld\.shared)/],
  ['workgroup_store', /^st\.shared/],
  ['global_load', /^ld\.global/],
  ['global_store', /^st\.global/],
  ['private', /^(ld|st)\.local/],
  ['barrier', /^bar/],
  ['wait', /^membar/],
  ['convert', /^(f2f|f2fp|i2f|f2i)/],
  ['branch', /^(bra|bssy|bsync|bclear|nop|exit|break|warpsync)/],
  ['constant', /^ldc/],
  ['copy', /^(mov|s2r|r2ur|cs2r|prmt|sel|shfl|vote)/],
];
const MEMORY = new Set(['workgroup_load', 'workgroup_store', 'global_load', 'global_store', 'private']);

/** @param {string} text @returns {Program} */
export function parseNak(text) {
  /** @type {Program} */
  const program = new Map();
  /** @type {Block | null} */
  let open = null;
  for (const line of text.split('\n')) {
    const starts = /^block(?:\.u)? (\d+)\b.*-> \{$/.exec(line.trimEnd());
    const ends = /^\} -> \[(.*?)\]/.exec(line);
    if (starts !== null) {
      open = block(Number(starts[1]));
      program.set(open.id, open);
    } else if (ends !== null && open !== null) {
      open.successors = (ends[1]?.match(/\d+/g) ?? []).map(Number);
      open = null;
    } else if (open !== null && line.trim() !== '') {
      const found = read(line);
      if (found !== null) open.instructions.push(found);
    }
  }
  return linked(program);
}

/** @param {string} line @returns {Instruction | null} */
function read(line) {
  const [body = '', schedule = ''] = line.split('//');
  const [, assigned] = body.includes(' = ') ? body.split(/ = (.*)/s) : ['', body];
  const name = assigned
    ?.trim()
    .split(/\s+/)
    .find((word) => !word.startsWith('@'));
  if (name === undefined || name === '') return null;
  const kind = classified(KINDS, name, 'integer');
  const masked = /wt=([01]+)/.exec(schedule)?.[1] ?? '';
  // the mask is written with the last scoreboard first
  const waits = [...masked]
    .reverse()
    .flatMap((bit, i) => (bit === '1' && i < SCOREBOARDS ? [{ queue: `${i}`, leave: 0 }] : []));
  return instruction({
    kind,
    clocks: Number(/delay=(\d+)/.exec(schedule)?.[1] ?? 1),
    bytes: MEMORY.has(kind) ? bytesOf(name) : 0,
    flops: flopsOf(kind, name),
    waits,
    signals: /wr:(\d)/.exec(schedule)?.[1] ?? null,
  });
}

/** Bytes of a lane: ldmatrix hands four to each for every 8x8 it loads. @param {string} name */
function bytesOf(name) {
  const matrices = /^ldsm.*x(\d)/.exec(name)?.[1];
  return matrices === undefined ? Number(/\.b(\d+)/.exec(name)?.[1] ?? 32) / 8 : 4 * Number(matrices);
}

/** @param {Kind} kind @param {string} name */
function flopsOf(kind, name) {
  const [, m, n, k] = /\.m(\d+)n(\d+)k(\d+)/.exec(name) ?? [];
  if (kind === 'matrix') return 2 * Number(m) * Number(n) * Number(k);
  return /^ffma/.test(name) ? 2 : /^hfma2/.test(name) ? 4 : 0;
}
