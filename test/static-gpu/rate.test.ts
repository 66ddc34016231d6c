import { describe, expect, it } from 'vitest';
import { block, instruction, linked, loopsOf } from '../../bench/static-gpu/assembly/program.mjs';
import { mainLoop, rateOf, residentWorkgroups } from '../../bench/static-gpu/rate.mjs';
import { replay } from '../../bench/static-gpu/replay.mjs';
import type { Assumed, Chip, Instruction, Pipeline, Program } from '../../bench/static-gpu/types.d.ts';

/** Round figures: a port does 1,024 operations of matrices a clock, a unit reads 32 bytes a clock through L2. */
const CHIP: Chip = {
  card: 'a test',
  compiler: 'nak',
  units: 10,
  clock_hz: 1e9,
  ports: 4,
  lanes_per_port: 32,
  subgroups_per_unit: 64,
  matrix_flops: 10 * 4 * 1e9 * 1024,
  matrix_holds_port: false,
  dispatch_gap_us: 1,
  sources: [],
  workgroup_memory_bytes: 65_536,
  workgroup_memory_bytes_per_clock: 128,
  l2_bytes_per_second: 10 * 1e9 * 32,
  memory_bytes_per_second: 1e11,
  global_latency_clocks: 400,
  workgroup_latency_clocks: 30,
  other_latency_clocks: 20,
  barrier_clocks: 40,
};
const ASSUMED: Assumed = {
  rate_share: 0.85,
  bandwidth_share: 0.5,
  nak_copies_left: 0.25,
  rdna_other_issue_share: 0.5,
  lora_product_us: 5,
  lora_reduce_us: 3,
  dequant_of_its_bytes: 1.2,
};

const on = (queue: string, leave = 0) => [{ queue, leave }];
/** 4,096 operations: four clocks of the matrix pipe. */
const MMA = { kind: 'matrix', clocks: 2, flops: 4096 } as const;
/** A round as kernels have it: load, put into workgroup memory, barrier, two products. */
const ROUND: Instruction[] = [
  instruction({ kind: 'global_load', clocks: 2, bytes: 16, signals: '0' }),
  instruction({ kind: 'integer', clocks: 4, waits: on('0') }),
  instruction({ kind: 'workgroup_store', clocks: 2, bytes: 16 }),
  instruction({ kind: 'barrier', clocks: 6 }),
  instruction({ kind: 'workgroup_load', clocks: 1, bytes: 16, signals: '1' }),
  instruction({ ...MMA, waits: on('1') }),
  instruction(MMA),
  instruction({ kind: 'copy', clocks: 4 }),
  instruction({ kind: 'branch', clocks: 1 }),
];

/** Blocks by their successors and instructions, the first one the entry. */
function program(
  ...blocks: readonly (readonly [successors: readonly number[], instructions?: readonly Instruction[]])[]
): Program {
  const made: Program = new Map();
  blocks.forEach(([successors, instructions = []], id) => {
    made.set(id, { ...block(id), successors: [...successors], instructions: [...instructions] });
  });
  return linked(made);
}
const LOOP = program([[1]], [[1, 2], ROUND], [[]]);

/** A workgroup of four subgroups: one for each port. */
function pipeline(of: Program, memory = 16_384, subgroupsPerUnit = 24): Pipeline {
  const statistics = {
    registers: 1,
    scratchBytes: 0,
    spills: 0,
    instructions: 1,
    cycles: null,
    subgroupSize: 32,
    subgroupsPerUnit,
  };
  return { program: of, workgroupSize: 128, workgroupMemoryBytes: memory, statistics };
}
const WORK = { flops: 4 * 2 * 4096, bytes: 2048 };

describe('loops', () => {
  // 0 -> 1 -> 2 -> 3 -> 2, 3 -> 4 -> 1, 4 -> 5
  const NESTED = [[1], [2], [3], [2, 4], [1, 5], []];

  it('finds nested ones by their edges back, and none in a diamond', () => {
    const found = loopsOf(program(...NESTED.map((successors) => [successors] as const)));
    expect([...found].map(([header, body]) => [header, [...body].sort()])).toEqual([
      [2, [2, 3]],
      [1, [1, 2, 3, 4]],
    ]);
    expect(loopsOf(program([[1, 2]], [[3]], [[3]], [[]])).size).toBe(0);
    // an edge to an earlier block that another way avoids is none
    expect(loopsOf(program([[1, 2]], [[3]], [[1]], [[]])).size).toBe(0);
  });

  it('takes the smallest with all of the products that has a barrier', () => {
    const fma = [instruction({ kind: 'fma', flops: 2 })];
    const barrier = [instruction({ kind: 'barrier' })];
    const nested = (at: number) =>
      program(...NESTED.map((successors, id) => [successors, id === 3 ? fma : id === at ? barrier : []] as const));
    expect([...(mainLoop(nested(4))?.body ?? [])].sort()).toEqual([1, 2, 3, 4]);
    expect([...(mainLoop(nested(5))?.body ?? [])].sort()).toEqual([2, 3]);
    expect(mainLoop(program([[1]], [[1, 2], barrier], [[]]))).toBeNull();
  });
});

describe('the replay of a schedule', () => {
  const play = (list: Instruction[], chip = CHIP) => replay([{ ...block(0), instructions: list }], chip, ASSUMED);
  const load = (queue: string) => instruction({ kind: 'global_load', clocks: 2, signals: queue });
  const use = (...queues: string[]) => instruction({ kind: 'fma', clocks: 4, waits: queues.flatMap((q) => on(q)) });

  it('loads in flight together wait once, one by one each', () => {
    // issued at 0 and 2, there at 402, used by 406
    expect(play([load('0'), load('1'), use('0', '1')])).toBe(406);
    expect(play([load('0'), use('0'), load('1'), use('1')])).toBe(808);
  });

  it('a load that crosses the edge of the loop costs what is left of it', () => {
    const work = instruction({ kind: 'integer', clocks: 300 });
    // there 400 after its issue at the end of the round before: 302 of them have passed
    expect(play([use('0'), load('0'), work])).toBe(404);
    expect(play([use('0'), load('0'), work, work])).toBe(606);
  });

  it('a counter waits for the oldest, a scoreboard for the last', () => {
    const chip = { ...CHIP, compiler: 'aco' } as const;
    const count = (leave: number) => instruction({ kind: 'wait', clocks: 1, waits: on('0', leave) });
    const work = instruction({ kind: 'integer', clocks: 100 });
    // the older is there at 400; the newer, issued at 102, at 502
    expect(play([load('0'), work, load('0'), count(1), count(0)], chip)).toBe(503);
    // left in flight, it is the older of the next round's three
    expect(play([load('0'), work, load('0'), count(1)], chip)).toBe(401);
  });

  it('barriers cost their clocks, copies a quarter with NAK, matrices the port with RDNA', () => {
    expect(play([instruction({ kind: 'barrier', clocks: 6 })])).toBe(46);
    expect(play([instruction({ kind: 'copy', clocks: 4 })])).toBe(1);
    const rdna = { ...CHIP, compiler: 'aco', matrix_holds_port: true } as const;
    expect(play([instruction({ kind: 'copy', clocks: 4 })], rdna)).toBe(4);
    expect(play([instruction({ ...MMA, clocks: 1 })], rdna)).toBe(4);
  });
});

describe('a rate', () => {
  it('is what the slowest of five takes: by hand', () => {
    // 0 load, 400 there, 404, 406, 452 barrier, 482 from workgroup memory, 486 products, 487 copy, 488
    expect(replay([...LOOP.values()].slice(1, 2), CHIP, ASSUMED)).toBe(488);
    const rate = rateOf(pipeline(LOOP), null, WORK, CHIP, ASSUMED);
    expect(rate.residentWorkgroups).toBe(4);
    expect(rate.clocks).toEqual({
      issue: 8 + 0.25, // nine instructions, of which a quarter of the copy is left
      matrix: 8, // two of four clocks
      workgroup_memory: 32, // 32 bytes of 128 lanes at 128 a clock
      l2: 64, // 2,048 bytes at 32 a clock
      latency: 122, // 488 by four workgroups
    });
    expect(rate).toMatchObject({
      boundBy: 'latency',
      roundClocks: 122,
      matrixInstructions: 2,
      instructions: 9,
      copies: 1,
    });
    expect(rate.tflops).toBeCloseTo((0.85 * 32_768 * 10 * 1e9) / 122 / 1e12, 12);
  });

  it('holds as many workgroups as registers and workgroup memory allow', () => {
    const resident = (memory: number, subgroups: number) => residentWorkgroups(pipeline(LOOP, memory, subgroups), CHIP);
    expect([resident(0, 24), resident(1024, 64), resident(40_000, 64), resident(1024, 3)]).toEqual([6, 16, 1, 1]);
    expect(rateOf(pipeline(LOOP, 1024, 64), null, WORK, CHIP, ASSUMED)).toMatchObject({
      boundBy: 'l2',
      roundClocks: 64,
    });
  });

  it('counts a body that was unrolled over two rounds as two', () => {
    const rate = rateOf(pipeline(LOOP), null, { flops: WORK.flops / 2, bytes: 1024 }, CHIP, ASSUMED);
    expect(rate).toMatchObject({ roundClocks: 61, matrixInstructions: 1, instructions: 4.5 });
    expect(rate.clocks).toMatchObject({ l2: 32, workgroup_memory: 16 });
  });

  it('runs a loop that the compiler kept as often as the work asks for', () => {
    const own = [instruction({ kind: 'barrier', clocks: 6 }), instruction({ kind: 'integer', clocks: 4 })];
    const inner = [instruction({ kind: 'fma', clocks: 2, flops: 2 }), instruction({ kind: 'branch', clocks: 1 })];
    const kept = program([[1]], [[2], own], [[2, 3], inner], [[1, 4]], [[]]);
    // 128 lanes of two operations: 256 a turn, so eight turns
    const rate = rateOf(pipeline(kept), null, { flops: 2048, bytes: 64 }, CHIP, ASSUMED);
    expect(rate.instructions).toBe(2 + 8 * 2);
    expect(rate.clocks.latency).toBe((46 + 4 + 8 * 3) / 4);
  });

  it('goes by the usual round, at the residency of the whole', () => {
    const whole = pipeline(
      program(
        [[1]],
        [
          [1, 2],
          [...ROUND, ...ROUND],
        ],
        [[]],
      ),
      65_536,
    );
    const rate = rateOf(whole, pipeline(LOOP, 0), WORK, CHIP, ASSUMED);
    expect(rate).toMatchObject({ residentWorkgroups: 1, roundClocks: 488, matrixInstructions: 2 });
  });

  it('of few workgroups: less is resident, and alternatives of a load count by their share', () => {
    expect(rateOf(pipeline(LOOP), null, WORK, CHIP, ASSUMED, 2).clocks.latency).toBe(244);
    // half of the bytes that the code could load: 200 clocks for the load
    const half = rateOf(pipeline(LOOP), null, { ...WORK, bytes: 1024 }, CHIP, ASSUMED, 2);
    expect(half.clocks.latency).toBe((488 - 200) / 2);
  });

  it('adds half of the other instructions to matrices that hold the port, twice for subgroups of 64', () => {
    const rdna = { ...CHIP, compiler: 'aco', matrix_holds_port: true } as const;
    expect(rateOf(pipeline(LOOP), null, WORK, rdna, ASSUMED).clocks.issue).toBe(8 + 0.5 * 7);
    const wide = pipeline(LOOP);
    const statistics = { ...wide.statistics, subgroupSize: 64 };
    // two subgroups, half a one for each port
    expect(rateOf({ ...wide, statistics }, null, WORK, rdna, ASSUMED).clocks.issue).toBe(4 + 0.5 * 2 * 0.5 * 7);
  });
});
