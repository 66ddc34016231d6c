/** Basic blocks and natural loops of a compiled shader. */

/** @import { Block, Instruction, Program } from '../types.d.ts' */

/** @param {number} id @returns {Block} */
export const block = (id) => ({ id, instructions: [], successors: [], predecessors: [] });

/** @param {Partial<Instruction> & Pick<Instruction, 'kind'>} fields @returns {Instruction} */
export const instruction = (fields) => ({ clocks: 1, bytes: 0, flops: 0, waits: [], signals: null, ...fields });

/** The first rule that a mnemonic fits. @template T @param {readonly (readonly [T, RegExp])[]} rules @param {string} name @param {T} otherwise */
export const classified = (rules, name, otherwise) => rules.find(([, pattern]) => pattern.test(name))?.[0] ?? otherwise;

/** Fills in who precedes whom, leaving out what is not in the program. @param {Program} program */
export function linked(program) {
  for (const { id, successors } of program.values())
    for (const next of successors) program.get(next)?.predecessors.push(id);
  return program;
}

/**
 * Blocks of each loop, by its header: where an edge goes back to a block that every way to it passes.
 * @param {Program} program whose first block is the entry
 * @returns {Map<number, Set<number>>}
 */
export function loopsOf(program) {
  const dominators = immediateDominators(program);
  /** @type {Map<number, Set<number>>} */
  const loops = new Map();
  for (const { id, successors } of program.values()) {
    for (const header of successors) {
      if (!dominates(dominators, header, id)) continue;
      const body = loops.get(header) ?? new Set([header]);
      loops.set(header, body);
      const open = [id];
      for (let at = open.pop(); at !== undefined; at = open.pop()) {
        if (body.has(at) || !dominators.has(at)) continue;
        body.add(at);
        open.push(...(program.get(at)?.predecessors ?? []));
      }
    }
  }
  return loops;
}

/** @param {Map<number, number>} dominators @param {number} above @param {number} id */
function dominates(dominators, above, id) {
  if (!dominators.has(id)) return false;
  for (let at = id; ; ) {
    if (at === above) return true;
    const next = dominators.get(at);
    if (next === undefined || next === at) return false;
    at = next;
  }
}

/** The nearest dominator of every block that can be reached (Cooper, Harvey and Kennedy 2001). @param {Program} program */
function immediateDominators(program) {
  const order = reversePostorder(program);
  const rank = new Map(order.map((id, i) => [id, i]));
  const rankOf = (/** @type {number} */ id) => /** @type {number} */ (rank.get(id));
  /** @type {Map<number, number>} */
  const found = new Map();
  const [entry] = order;
  if (entry === undefined) return found;
  found.set(entry, entry);
  const meet = (/** @type {number} */ a, /** @type {number} */ b) => {
    while (a !== b) {
      while (rankOf(a) > rankOf(b)) a = /** @type {number} */ (found.get(a));
      while (rankOf(b) > rankOf(a)) b = /** @type {number} */ (found.get(b));
    }
    return a;
  };
  for (let changed = true; changed; ) {
    changed = false;
    for (const id of order.slice(1)) {
      const known = (program.get(id)?.predecessors ?? []).filter((p) => found.has(p));
      const nearest = known.reduce(meet);
      if (found.get(id) === nearest) continue;
      found.set(id, nearest);
      changed = true;
    }
  }
  return found;
}

/** @param {Program} program @returns {number[]} */
function reversePostorder(program) {
  const [entry] = program.keys();
  if (entry === undefined) return [];
  /** @type {number[]} */
  const done = [];
  const seen = new Set([entry]);
  const open = [{ id: entry, next: 0 }];
  for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
    const successor = program.get(top.id)?.successors[top.next++];
    if (successor === undefined) {
      done.push(top.id);
      open.pop();
    } else if (!seen.has(successor) && program.has(successor)) {
      seen.add(successor);
      open.push({ id: successor, next: 0 });
    }
  }
  return done.reverse();
}
