/** GPU memory as NVIDIA's driver counts it. Other drivers do not say. */
import type { GpuMemory } from '../estimate/fit.ts';
import { type MachineView, thisMachine } from './machine.ts';

const MIB = 2 ** 20;

/** A GPU each; none where nvidia-smi is absent, or does not know (as of a slice of a GPU). */
export function gpuMemories(view: Pick<MachineView, 'output'>): GpuMemory[] {
  const fields = '--query-gpu=name,memory.total,memory.free';
  const text = view.output('nvidia-smi', fields, '--format=csv,noheader,nounits') ?? '';
  const rows = text
    .trim()
    .split('\n')
    .map((line) => line.split(',').map((cell) => cell.trim()));
  return rows.flatMap(([name = '', total, free]) => {
    const [totalBytes, freeBytes] = [MIB * Number(total), MIB * Number(free)];
    return totalBytes > 0 && freeBytes >= 0 ? { name, totalBytes, freeBytes } : [];
  });
}

/**
 * The memory of the GPU behind an adapter that calls itself any of `names`; among several of one name, or where none fits,
 * that with most room: a run is refused only where none could hold it.
 */
export function memoryOf(names: readonly string[], gpus: readonly GpuMemory[]): GpuMemory | null {
  const named = gpus.filter(({ name }) => names.some((n) => n.toLowerCase().includes(name.toLowerCase())));
  const sorted = (named.length > 0 ? named : [...gpus]).sort((a, b) => b.freeBytes - a.freeBytes);
  return sorted[0] ?? null;
}

/** The memory of this machine's GPU behind an adapter of these names; null where no NVIDIA driver tells it. */
export function driverMemory(names: readonly string[]): GpuMemory | null {
  return memoryOf(names, gpuMemories(thisMachine(process.env)));
}
