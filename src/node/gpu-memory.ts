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

/** Bytes that the driver counts for a process on all GPUs; null where it does not list it, as in a container. */
export function processMemory(pid: number, view: Pick<MachineView, 'output'>): number | null {
  const text = view.output('nvidia-smi', '--query-compute-apps=pid,used_memory', '--format=csv,noheader,nounits') ?? '';
  const own = text
    .trim()
    .split('\n')
    .map((line) => line.split(',').map((cell) => Number(cell.trim())))
    .filter(([of, mib]) => of === pid && Number.isFinite(mib));
  return own.length === 0 ? null : own.reduce((sum, [, mib = 0]) => sum + MIB * mib, 0);
}

/** What NVIDIA's driver counts at one moment; null for other drivers. */
export type DriverSample = { readonly usedBytes: number; readonly processBytes: number | null };

/** Samples the driver's figures for the GPU whose device has one of these names. */
export function driverSample(
  names: readonly string[],
  view: Pick<MachineView, 'output'> = thisMachine(process.env),
): DriverSample | null {
  const memory = memoryOf(names, gpuMemories(view));
  if (memory === null) return null;
  return { usedBytes: memory.totalBytes - memory.freeBytes, processBytes: processMemory(process.pid, view) };
}
