/** A kernel's rate from compiler output, its tile and the chip's constants alone: docs/static-gpu.md has the formula. */
import { loopsOf } from './assembly/program.mjs';
import { replay } from './replay.mjs';

/** @import { Assumed, Block, Chip, Instruction, Kind, Pipeline, Program, Rate, Round } from './types.d.ts' */

/** @typedef {{ blocks: readonly Block[], times: number }} Piece a straight part of a round, and how often it runs */

const PRODUCT = /** @type {ReadonlySet<Kind>} */ (new Set(['matrix', 'fma']));
const WORKGROUP_MEMORY = /** @type {ReadonlySet<Kind>} */ (new Set(['workgroup_load', 'workgroup_store', 'private']));

/** @param {readonly Block[]} blocks */
const instructionsOf = (blocks) => blocks.flatMap(({ instructions }) => instructions);

/** @param {readonly Instruction[]} all @param {(one: Instruction) => number} of */
const total = (all, of) => all.reduce((sum, one) => sum + of(one), 0);

/** Operations of a subgroup. @param {number} lanes @returns {(one: Instruction) => number} */
const flops =
  (lanes) =>
  ({ kind, flops }) =>
    kind === 'matrix' ? flops : flops * lanes;

/**
 * The loop that does a kernel's products: the smallest that has the most of them, and a barrier where one of those has.
 * @param {Program} program
 * @param {boolean} [isAround] the largest of these instead, where a round is more than that loop does at once
 * @returns {{ body: ReadonlySet<number>, inner: readonly ReadonlySet<number>[] } | null}
 */
export function mainLoop(program, isAround = false) {
  const blocks = [...program.values()];
  const loops = [...loopsOf(program)].map(([header, body]) => {
    const all = instructionsOf(blocks.filter(({ id }) => body.has(id)));
    const matrices = all.filter(({ kind }) => kind === 'matrix').length;
    const sums = all.filter(({ kind }) => kind === 'fma').length;
    return {
      header,
      body,
      size: all.length,
      products: matrices > 0 ? 1000 * matrices : sums,
      barrier: all.some(({ kind }) => kind === 'barrier'),
    };
  });
  const most = Math.max(...loops.map(({ products }) => products), 0);
  const candidates = loops.filter(({ products }) => products === most && most > 0);
  const fitting = candidates.some(({ barrier }) => barrier) ? candidates.filter(({ barrier }) => barrier) : candidates;
  const [main] = fitting.sort((a, b) => (isAround ? b.size - a.size : a.size - b.size));
  if (main === undefined) return null;
  const within = loops.filter(
    ({ header, body }) => header !== main.header && main.body.has(header) && body.size < main.body.size,
  );
  const inner = within.filter((one) => !within.some((other) => other !== one && other.body.has(one.header)));
  return { body: main.body, inner: inner.map(({ body }) => body) };
}

/**
 * Cuts a round into its straight parts. A loop that the compiler kept inside runs as often as the round's known work asks for: its
 * operations where it multiplies, its bytes where it only loads.
 * @param {Pipeline} pipeline
 * @param {Round} round
 * @returns {Piece[]}
 */
export function piecesOf({ program, workgroupSize, statistics }, round) {
  const main = mainLoop(program, round.isAround);
  if (main === null) return [{ blocks: [...program.values()], times: 1 }];
  const blocks = [...program.values()].filter(({ id }) => main.body.has(id));
  const own = blocks.filter(({ id }) => !main.inner.some((body) => body.has(id)));
  const loops = main.inner.map((body) => blocks.filter(({ id }) => body.has(id)));
  const multiplies = (/** @type {readonly Block[]} */ of) =>
    instructionsOf(of).some(({ kind, flops: f }) => PRODUCT.has(kind) && f > 0);
  const subgroups = workgroupSize / statistics.subgroupSize;
  const flopsIn = (/** @type {readonly Block[]} */ of) =>
    subgroups * total(instructionsOf(of), flops(statistics.subgroupSize));
  const loadedIn = (/** @type {readonly Block[]} */ of) =>
    workgroupSize * total(instructionsOf(of), ({ kind, bytes }) => (kind === 'global_load' ? bytes : 0));
  const times = (
    /** @type {readonly (readonly Block[])[]} */ of,
    /** @type {(blocks: readonly Block[]) => number} */ amount,
    /** @type {number} */ wanted,
  ) => {
    const once = of.reduce((sum, loop) => sum + amount(loop), 0);
    return once === 0 ? 1 : Math.max(1, (wanted - amount(own)) / once);
  };
  const products = times(loops.filter(multiplies), flopsIn, round.flops);
  const loads = times(
    loops.filter((loop) => !multiplies(loop)),
    loadedIn,
    round.bytes,
  );
  return [
    { blocks: own, times: 1 },
    ...loops.map((loop) => ({ blocks: loop, times: multiplies(loop) ? products : loads })),
  ];
}

/** Workgroups that a unit holds at once, by registers and workgroup memory. @param {Pipeline} pipeline @param {Chip} chip */
export function residentWorkgroups({ statistics, workgroupSize, workgroupMemoryBytes }, chip) {
  const byRegisters = Math.floor(statistics.subgroupsPerUnit / Math.ceil(workgroupSize / statistics.subgroupSize));
  const byMemory =
    workgroupMemoryBytes === 0 ? byRegisters : Math.floor(chip.workgroup_memory_bytes / workgroupMemoryBytes);
  return Math.max(1, Math.min(byRegisters, byMemory));
}

/**
 * @param {Pipeline} whole the pipeline, which says how many workgroups are resident
 * @param {Pipeline | null} usual the same without what it does in few rounds alone, where there is such
 * @param {Round} round
 * @param {Chip} chip
 * @param {Assumed} assumed
 * @param {number} [few] workgroups of a dispatch for each unit, where a chip could hold more; a load that is one of several
 *   alternatives then counts by the share of them that the round's bytes can need
 * @returns {Rate}
 */
export function rateOf(whole, usual, round, chip, assumed, few) {
  const pieces = piecesOf(usual ?? whole, round);
  const summed = (/** @type {(one: Instruction) => number} */ of) =>
    pieces.reduce((sum, { blocks, times }) => sum + times * total(instructionsOf(blocks), of), 0);
  const { statistics, workgroupSize } = whole;
  const resident = Math.min(few ?? Number.POSITIVE_INFINITY, residentWorkgroups(whole, chip));
  const count = summed(() => 1);
  const copies = summed(({ kind }) => (kind === 'copy' ? 1 : 0));
  const matrices = summed(({ kind }) => (kind === 'matrix' ? 1 : 0));
  const matrixFlops = summed(({ kind, flops: f }) => (kind === 'matrix' ? f : 0));
  const subgroupFlops = summed(flops(statistics.subgroupSize));
  const subgroups = workgroupSize / statistics.subgroupSize;
  // a body that was unrolled over several rounds does the work of several
  const rounds = round.isStream ? 1 : Math.max(1, Math.round((subgroups * subgroupFlops) / round.flops));
  const memoryBytes = summed(({ kind, bytes }) => (WORKGROUP_MEMORY.has(kind) ? bytes : 0));
  const loaded = workgroupSize * summed(({ kind, bytes }) => (kind === 'global_load' ? bytes : 0));
  const loads = few === undefined || round.isStream || loaded === 0 ? 1 : Math.min(1, (rounds * round.bytes) / loaded);
  const subgroupClocks = pieces.reduce(
    (sum, { blocks, times }) => sum + times * replay(blocks, chip, assumed, loads),
    0,
  );
  const clocks = clocksOf({ count, copies, matrices, matrixFlops, subgroups }, statistics.subgroupSize, chip, assumed);
  const all = {
    ...clocks,
    workgroup_memory: (memoryBytes * workgroupSize) / chip.workgroup_memory_bytes_per_clock,
    l2: (rounds * round.bytes * chip.units * chip.clock_hz) / chip.l2_bytes_per_second,
    latency: subgroupClocks / resident,
  };
  const perRound = Object.fromEntries(Object.entries(all).map(([name, value]) => [name, value / rounds]));
  const [boundBy, roundClocks] = Object.entries(perRound).reduce((most, one) => (one[1] > most[1] ? one : most));
  return {
    boundBy,
    roundClocks,
    clocks: perRound,
    residentWorkgroups: resident,
    tflops: (assumed.rate_share * round.flops * chip.units * chip.clock_hz) / roundClocks / 1e12,
    matrixInstructions: matrices / rounds,
    instructions: count / rounds,
    roundBytes: round.bytes,
    copies: copies / rounds,
  };
}

/**
 * @param {{ count: number, copies: number, matrices: number, matrixFlops: number, subgroups: number }} of a subgroup's round
 * @param {number} lanes
 * @param {Chip} chip
 * @param {Assumed} assumed
 */
function clocksOf({ count, copies, matrices, matrixFlops, subgroups }, lanes, chip, assumed) {
  const perPort = subgroups / chip.ports;
  const passes = Math.max(1, lanes / chip.lanes_per_port);
  const matrixRate = (chip.matrix_flops ?? Number.POSITIVE_INFINITY) / (chip.units * chip.ports * chip.clock_hz);
  const matrix = (perPort * matrixFlops) / matrixRate;
  const kept = chip.compiler === 'nak' ? count - copies * (1 - assumed.nak_copies_left) : count;
  const issue = chip.matrix_holds_port
    ? matrix + perPort * passes * (kept - matrices) * assumed.rdna_other_issue_share
    : perPort * passes * kept;
  return { issue, matrix };
}
