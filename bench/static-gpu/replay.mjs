/** Plays a compiler's own schedule of one subgroup: each wait ends when what it waits for is there. */

/** @import { Assumed, Block, Chip, Instruction } from './types.d.ts' */

/** Rounds until it is steady. */
const ROUNDS = 4;

/**
 * Clocks of a round of one subgroup alone.
 * @param {readonly Block[]} blocks of a loop, in the order of the program
 * @param {Chip} chip
 * @param {Assumed} assumed
 * @param {number} [loads] the share of the loads from memory that run
 */
export function replay(blocks, chip, assumed, loads = 1) {
  /** Times at which what each queue has on its way will be there. @type {Map<string, number[]>} */
  const queues = new Map();
  const inOrder = chip.compiler === 'aco';
  let now = 0;
  let before = 0;
  for (let round = 0; round < ROUNDS; round++) {
    before = now;
    for (const { instructions } of blocks) {
      for (const one of instructions) {
        for (const { queue, leave } of one.waits) now = Math.max(now, ...drain(queues, queue, leave));
        if (one.signals !== null) {
          const arrival = now + latencyOf(one, chip) * (one.kind === 'global_load' ? loads : 1);
          // counters count in order; a scoreboard or a flag is clear when the last is there
          const pending = queues.get(one.signals) ?? [];
          queues.set(one.signals, inOrder ? [...pending, arrival] : [Math.max(arrival, ...pending)]);
        }
        now += clocksOf(one, chip, assumed);
      }
    }
  }
  return now - before;
}

/** Takes from a queue all but the newest `leave`. @param {Map<string, number[]>} queues @param {string} name @param {number} leave */
function drain(queues, name, leave) {
  const pending = queues.get(name) ?? [];
  return pending.splice(0, Math.max(0, pending.length - leave));
}

/** @param {Instruction} one @param {Chip} chip */
function latencyOf({ kind }, chip) {
  if (kind === 'global_load') return chip.global_latency_clocks;
  return kind === 'workgroup_load' || kind === 'workgroup_store'
    ? chip.workgroup_latency_clocks
    : chip.other_latency_clocks;
}

/** @param {Instruction} one @param {Chip} chip @param {Assumed} assumed */
function clocksOf({ kind, clocks, flops }, chip, assumed) {
  if (kind === 'barrier') return clocks + chip.barrier_clocks;
  if (kind === 'matrix' && chip.matrix_holds_port)
    return (flops * chip.units * chip.ports * chip.clock_hz) / (chip.matrix_flops ?? Number.POSITIVE_INFINITY);
  return kind === 'copy' && chip.compiler === 'nak' ? clocks * assumed.nak_copies_left : clocks;
}
