import { describe, expect, it } from 'vitest';
import { parseAco } from '../../bench/static-gpu/assembly/aco.mjs';
import { parseAgx } from '../../bench/static-gpu/assembly/agx.mjs';
import { parseIr3 } from '../../bench/static-gpu/assembly/ir3.mjs';
import { parseNak } from '../../bench/static-gpu/assembly/nak.mjs';
import { loopsOf } from '../../bench/static-gpu/assembly/program.mjs';
import { statisticsOf } from '../../bench/static-gpu/assembly/statistics.mjs';
import type { Instruction, Program } from '../../bench/static-gpu/types.d.ts';
import { captured } from './captured.ts';

const all = (program: Program): Instruction[] => [...program.values()].flatMap(({ instructions }) => instructions);
const ofKind = (list: readonly Instruction[], kind: Instruction['kind']) => list.filter((one) => one.kind === kind);
const bytes = (list: readonly Instruction[]) => list.reduce((sum, one) => sum + one.bytes, 0);

/** The one loop of matmul_reduce adds up the slices of a product: a load and an addition a round. */
function onlyLoop(program: Program): Instruction[] {
  const loops = [...loopsOf(program).values()];
  expect(loops).toHaveLength(1);
  return [...program.values()].filter(({ id }) => loops[0]?.has(id)).flatMap(({ instructions }) => instructions);
}

describe('the loop of matmul_reduce, as each compiler wrote it', () => {
  it('NAK: 11 instructions, one load of 4 bytes on scoreboard 0, which the addition waits for', () => {
    const program = parseNak(captured('matmul_reduce.nak'));
    expect(program.size).toBe(9);
    const loop = onlyLoop(program);
    expect(loop).toHaveLength(11);
    const load = loop.findIndex(({ kind }) => kind === 'global_load');
    expect(loop[load]).toMatchObject({ bytes: 4, clocks: 6, signals: '0', waits: [] });
    expect(loop[load + 1]).toMatchObject({ kind: 'fma', clocks: 1, flops: 0, waits: [{ queue: '0', leave: 0 }] });
    // 13 + 1 of the test, 6 6 6 13 6 6 1 5 1 of the body
    expect(loop.reduce((sum, { clocks }) => sum + clocks, 0)).toBe(64);
  });

  it('ACO: two blocks, of which the one at the bottom is the header; a load that vmcnt(0) waits for', () => {
    const loop = onlyLoop(parseAco(captured('matmul_reduce.aco')));
    // s_load, s_mul, s_delay, s_mul, add, wait, load, s_add, wait, add; compare and branch
    expect(loop).toHaveLength(12);
    expect(ofKind(loop, 'global_load')).toMatchObject([{ bytes: 4, signals: 'global' }]);
    expect(loop.flatMap(({ waits }) => waits)).toEqual([
      { queue: 'workgroup', leave: 0 },
      { queue: 'global', leave: 0 },
    ]);
  });

  it('AGX: from its backward jump of 48 bytes, the load of the body in slot a', () => {
    const loop = onlyLoop(parseAgx(captured('matmul_reduce.agx')));
    // load, wait, while, imadd, load, wait, fadd, iadd, jmp_any
    expect(loop.map(({ kind }) => kind)).toEqual([
      'global_load',
      'wait',
      'branch',
      'integer',
      'global_load',
      'wait',
      'fma',
      'integer',
      'branch',
    ]);
    expect(ofKind(loop, 'global_load').map((one) => [one.bytes, one.signals])).toEqual([
      [16, 'a'],
      [4, 'a'],
    ]);
    expect(ofKind(loop, 'wait').map(({ waits }) => waits)).toEqual(Array(2).fill([{ queue: 'a', leave: 0 }]));
  });

  it('ir3: from its label to the jump back, nops counted as the clocks that they take', () => {
    const loop = onlyLoop(parseIr3(captured('matmul_reduce.ir3')));
    // 26 lines, one with three nops of its own and one repeated once more
    expect(loop).toHaveLength(26);
    expect(loop.reduce((sum, { clocks }) => sum + clocks, 0)).toBe(26 + 3 + 1);
    expect(ofKind(loop, 'global_load')).toMatchObject([{ bytes: 4, signals: 'sy' }]);
    const sum = loop.find(({ waits }) => waits.some(({ queue }) => queue === 'sy'));
    expect(sum).toMatchObject({ kind: 'fma', flops: 0 });
    expect(loop.at(-1)).toMatchObject({ kind: 'branch' });
  });
});

describe('the instructions of a product', () => {
  it('NAK: 16 HMMA of 16x8x16 and 8 ldmatrix.x4 of 16 bytes a lane, between two barriers', () => {
    const list = all(parseNak(captured('multiply.nak')));
    expect(ofKind(list, 'matrix').map(({ flops }) => flops)).toEqual(Array(16).fill(2 * 16 * 8 * 16));
    expect(ofKind(list, 'workgroup_load').map((one) => one.bytes)).toEqual(Array(8).fill(16));
    expect(ofKind(list, 'barrier')).toHaveLength(2);
    // wt=000101: scoreboards 0 and 2
    expect(ofKind(list, 'matrix')[0]?.waits.map(({ queue }) => queue)).toEqual(['0', '2']);
  });

  it('ACO: 8 WMMA of 16x16x16 and 32 loads of 8 bytes, waited for as the counter says', () => {
    const list = all(parseAco(captured('multiply.aco')));
    expect(ofKind(list, 'matrix').map(({ flops }) => flops)).toEqual(Array(8).fill(2 * 16 * 16 * 16));
    expect(bytes(ofKind(list, 'workgroup_load'))).toBe(32 * 8);
    expect(list.flatMap(({ waits }) => waits.map(({ leave }) => leave))).toEqual([20, 16, 4, 0]);
  });

  it('ACO: a dual instruction is two, RDNA4 waits by one counter an instruction, scratch is private memory', () => {
    const text = `BB0:
	v_dual_fmac_f32 v1, v2, v3 :: v_dual_mov_b32 v4, v5 ; 00
	v_pk_fma_f16 v1, v2, v3, v4 ; 00
	s_wait_loadcnt 0x3 ; 00
	s_wait_loadcnt_dscnt 0x102 ; 00
	scratch_load_b128 v[0:3], off, s0 ; 00
	ds_load_2addr_b64 v[0:3], v9 offset1:1 ; 00
	s_endpgm ; 00
`;
    const list = all(parseAco(text));
    expect(list.map(({ kind }) => kind)).toEqual([
      'fma',
      'copy',
      'fma',
      'wait',
      'wait',
      'private',
      'workgroup_load',
      'branch',
    ]);
    expect(list.map(({ flops }) => flops)).toEqual([2, 0, 4, 0, 0, 0, 0, 0]);
    expect(list[3]?.waits).toEqual([{ queue: 'global', leave: 3 }]);
    expect(list[4]?.waits).toEqual([
      { queue: 'global', leave: 1 },
      { queue: 'workgroup', leave: 2 },
    ]);
    expect(list.map((one) => one.bytes)).toEqual([0, 0, 0, 0, 0, 16, 16, 0]);
  });

  it('ir3: a repeated multiplication takes a clock and two operations each time, a vector load its components', () => {
    const text =
      '(rpt3)mad.f32 r1.x, (r)r2.x, r3.x, (r)r1.x\n(ss)(nop2) mul.f r1.x, r1.x, r2.x\nldl.u32 r1.x, l[r2.x], 4\nend\n';
    const list = all(parseIr3(`${text}isam.v.base0 (u16)(xyzw)hr1.x, r2.x, s#0, t#3\n`));
    expect(list.map(({ clocks }) => clocks)).toEqual([4, 3, 1, 1]);
    expect(list.map(({ flops }) => flops)).toEqual([8, 0, 0, 0]);
    expect(list[2]).toMatchObject({ kind: 'workgroup_load', bytes: 16, signals: 'ss' });
    const [load] = all(parseIr3('isam.v.base0 (u16)(xyzw)hr1.x, r2.x, s#0, t#3\n'));
    expect(load).toMatchObject({ kind: 'global_load', bytes: 8, signals: 'sy' });
  });
});

describe('figures of a compiler, by common names', () => {
  const chip = { ports: 2, subgroups_per_unit: 64 };

  it('each compiler: registers, private bytes, spills, clocks, subgroups that a unit holds', () => {
    const of = (compiler: 'nak' | 'aco' | 'agx' | 'ir3') =>
      statisticsOf(captured(`matmul_reduce.${compiler}.stats`), { ...chip, compiler }, 'x.stats');
    const clean = { scratchBytes: 0, spills: 0 };
    expect(of('nak')).toEqual({
      ...clean,
      registers: 24,
      instructions: 76,
      cycles: 1332,
      subgroupSize: 32,
      subgroupsPerUnit: 64,
    });
    // 32 a port, two ports
    expect(of('aco')).toEqual({
      ...clean,
      registers: 12,
      instructions: 77,
      cycles: 2579,
      subgroupSize: 64,
      subgroupsPerUnit: 64,
    });
    // 1,024 threads
    expect(of('agx')).toEqual({
      ...clean,
      registers: 19,
      instructions: 49,
      cycles: null,
      subgroupSize: 32,
      subgroupsPerUnit: 32,
    });
    expect(of('ir3')).toEqual({
      ...clean,
      registers: 6,
      instructions: 137,
      cycles: null,
      subgroupSize: 64,
      subgroupsPerUnit: 16,
    });
  });

  it('spills are stores and loads together, and a missing figure is an error', () => {
    const text = captured('matmul_reduce.nak.stats')
      .replace('to memory\t0', 'to memory\t3')
      .replace('from memory\t0', 'from memory\t4');
    expect(statisticsOf(text, { ...chip, compiler: 'nak' }, 'x.stats').spills).toBe(7);
    const without = captured('matmul_reduce.nak.stats').replace('SLM size', 'SLM');
    expect(() => statisticsOf(without, { ...chip, compiler: 'nak' }, 'x.stats')).toThrow(
      /x.stats: has no figure SLM size/,
    );
  });
});
