/** Reads the disassembly of Mesa's compiler for Apple GPUs (AGX_MESA_DEBUG=shaders): loops by its backward jumps. */
import { block, classified, instruction, linked } from './program.mjs';

/** @import { Instruction, Kind, Program } from '../types.d.ts' */

/** @type {readonly (readonly [Kind, RegExp])[]} */
const KINDS = [
  ['fma', /^(ffma|fmul|fadd|hfma|hmul|hadd)/],
  ['special', /^(rcp|rsqrt|log2|exp2|sin|cos)/],
  ['workgroup_load', /^lload/],
  ['workgroup_store', /^lstore/],
  ['global_load', /^load/],
  ['global_store', /^(store|atomic)/],
  ['private', /^stack_(load|store)/],
  ['barrier', /^barrier/],
  ['wait', /^wait/],
  ['branch', /^(jmp|if|else|while|pop_exec|stop|trap|nop|call|ret)/],
  ['convert', /^(convert|f2|i2|u2|to_)/],
  ['copy', /^(mov|csel|ldimm|get_sr|shuffle)/],
];
const LINE = /^\s*([0-9a-f]+):\s+([0-9a-f]+)\s+(\S+)(.*)$/;
const WIDTH = /** @type {const} */ ({ i8: 1, i16: 2, i32: 4, f16: 2, f32: 4 });

/**
 * @param {string} text what the driver printed for one pipeline
 * @returns {Program}
 */
export function parseAgx(text) {
  const lines = mainShader(text);
  const targets = new Set([0, ...lines.flatMap(({ target }) => target ?? [])]);
  /** @type {Program} */
  const program = new Map();
  let open = block(0);
  program.set(0, open);
  for (const { address, next, found, target } of lines) {
    if (address !== 0 && targets.has(address) && open.id !== address) {
      open.successors.push(address);
      open = block(address);
      program.set(address, open);
    }
    open.instructions.push(found);
    if (target === null) continue;
    // taken where no lane, or any, is left: either way is possible
    open.successors.push(target, next);
    open = block(next);
    program.set(next, open);
  }
  return linked(program);
}

/** The preamble is printed after the shader; addresses start again with it. @param {string} text */
function mainShader(text) {
  const rows = text.split('\n').flatMap((line) => {
    const [, address = '', code = '', name = '', rest = ''] = LINE.exec(line) ?? [];
    return name === '' ? [] : [{ address: Number.parseInt(address, 16), bytes: code.length / 2, name, rest }];
  });
  const preamble = rows.findIndex(({ address }, i) => i > 0 && address === 0);
  return rows.slice(0, preamble < 0 ? rows.length : preamble).map(({ address, bytes, name, rest }) => {
    const offset = name.startsWith('jmp') ? Number(/(-?\d+)\s*$/.exec(rest)?.[1]) : Number.NaN;
    return {
      address,
      next: address + bytes,
      found: read(name, rest),
      target: Number.isFinite(offset) ? address + offset : null,
    };
  });
}

/** @param {string} name @param {string} rest @returns {Instruction} */
function read(name, rest) {
  const kind = classified(KINDS, name, 'integer');
  const slot = /,\s*([ab])\s*$/.exec(rest)?.[1] ?? null;
  const waited = kind === 'wait' ? (/^\s*([ab])/.exec(rest)?.[1] ?? null) : null;
  const isLoad = kind === 'global_load' || kind === 'private';
  return instruction({
    kind,
    bytes: bytesOf(kind, rest),
    flops: /^(ffma|hfma)/.test(name) ? 2 : 0,
    waits: waited === null ? [] : [{ queue: waited, leave: 0 }],
    // workgroup loads share the slots
    signals: isLoad || kind === 'workgroup_load' ? slot : null,
  });
}

/** @param {Kind} kind @param {string} rest */
function bytesOf(kind, rest) {
  if (!/_(load|store)$|^private$/.test(kind)) return 0;
  const width = /\b(i8|i16|i32|f16|f32)\b/.exec(rest)?.[1] ?? 'i32';
  const channels = /,\s*([xyzw]{1,4})\b/.exec(rest)?.[1] ?? 'x';
  return WIDTH[/** @type {keyof typeof WIDTH} */ (width)] * channels.length;
}
