/** GPU memory as NVIDIA's driver counts it. Other drivers do not say. */
import type { GpuMemory } from '../estimate/fit.ts';
import { type MachineView, thisMachine } from './machine.ts';

const MIB = 2 ** 20;

/** Memory of each GPU; leaves out those that nvidia-smi has no figures for, such as slices of a GPU. */
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
 * Memory of the GPU whose device calls itself any of `names`. Among several of one name, or where no name fits, takes
 * the GPU with most room, so that a run is refused only where no GPU could hold it.
 */
export function memoryOf(names: readonly string[], gpus: readonly GpuMemory[]): GpuMemory | null {
  const named = gpus.filter(({ name }) => names.some((n) => n.toLowerCase().includes(name.toLowerCase())));
  const sorted = (named.length > 0 ? named : [...gpus]).sort((a, b) => b.freeBytes - a.freeBytes);
  return sorted[0] ?? null;
}

/** Memory of this machine's GPU whose device has one of these names; null where no NVIDIA driver tells it. */
export function driverMemory(names: readonly string[]): GpuMemory | null {
  return memoryOf(names, gpuMemories(thisMachine(process.env)));
}
