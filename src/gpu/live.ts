/** Drops commands of a recorded phase whose results nobody reads, such as the last sum of a layer that is recorded again. */
import type { Command } from './command.ts';
import type { Storage, Tensor } from './tensor.ts';

/**
 * The commands whose results reach a resident tensor, in their order.
 * @param aside resident tensors that are no results: the flags that kernels raise on the way
 */
export function liveCommands(commands: readonly Command[], aside: Storage | null = null): Command[] {
  const wanted = new Set<Storage>();
  const live: Command[] = [];
  for (const command of commands.toReversed()) {
    const { reads, writes } = operands(command);
    const isWanted = (storage: Storage) => storage !== aside && (storage.resident || wanted.has(storage));
    if (!writes.some(({ storage }) => isWanted(storage))) continue;
    // a written storage stays wanted: an earlier command may have written another part of it
    for (const { storage } of [...reads, ...writes]) wanted.add(storage);
    live.push(command);
  }
  return live.reverse();
}

function operands(command: Command): { reads: readonly Tensor[]; writes: readonly Tensor[] } {
  if (command.kind === 'copy') return { reads: [command.from], writes: [command.to] };
  if (command.kind === 'clear') return { reads: [], writes: [command.tensor] };
  const of = (writable: boolean) => command.bindings.filter((b) => b.writable === writable).map((b) => b.tensor);
  return { reads: of(false), writes: of(true) };
}
