/** Measures every dispatch of a program on the GPU, by timestamp queries around a pass of its own for each. */
import { DeviceError } from '../errors.ts';
import type { Allocation, Allocator } from './allocator.ts';
import type { Device } from './device.ts';
import { bufferOf, type Program } from './program.ts';
import { Readback } from './transfer.ts';

/** Nanoseconds on the device's clock. */
export type Span = { readonly label: string; readonly startNs: number; readonly endNs: number };

const TIMESTAMP_BYTES = 8;
/** WebGPU's limit on the queries of a set; a longer program takes several. */
const MAX_QUERIES = 4096;

/**
 * Runs a program once with every dispatch timed. Slower than a normal run: passes do not overlap.
 * @param maxQueries queries of a set, a multiple of 32: resolved queries start where a buffer may
 * @throws DeviceError when the device has no timestamp queries
 */
export async function profileProgram(
  device: Device,
  allocator: Allocator,
  program: Program,
  maxQueries = MAX_QUERIES,
): Promise<Span[]> {
  if (!device.profile.timestampQuery) {
    throw new DeviceError(
      `${device.profile.name} has no timestamp queries: profiling needs the timestamp-query feature`,
    );
  }
  const total = program.dispatchCount * 2;
  const bytes = total * TIMESTAMP_BYTES;
  const sets = Array.from({ length: Math.ceil(total / maxQueries) }, (_, i) =>
    device.gpu.createQuerySet({
      label: `profile[${i}]`,
      type: 'timestamp',
      count: Math.min(maxQueries, total - i * maxQueries),
    }),
  );
  const resolved: Allocation = allocator.allocate({
    label: 'profile.resolve',
    category: 'staging',
    bytes,
    usage: 'query',
  });
  const readback = new Readback(allocator, 'profile.readback', bytes);
  const labels: string[] = [];
  try {
    const encoder = device.gpu.createCommandEncoder({ label: 'profile' });
    program.encode(encoder, (label) => {
      const query = labels.push(label) * 2 - 2;
      const at = query % maxQueries;
      const querySet = sets[Math.floor(query / maxQueries)] as GPUQuerySet;
      return { querySet, beginningOfPassWriteIndex: at, endOfPassWriteIndex: at + 1 };
    });
    sets.forEach((set, i) => {
      encoder.resolveQuerySet(set, 0, set.count, bufferOf(resolved), i * maxQueries * TIMESTAMP_BYTES);
    });
    device.gpu.queue.submit([encoder.finish()]);
    const times = new BigUint64Array((await readback.read(device, resolved, 0, bytes)).buffer);
    return labels.map((label, i) => ({ label, startNs: Number(times[2 * i]), endNs: Number(times[2 * i + 1]) }));
  } finally {
    for (const set of sets) set.destroy();
    allocator.free(resolved);
    allocator.free(readback.staging);
  }
}

/** Spans as a Chrome trace (chrome://tracing, Perfetto): microseconds from the first span on. */
export function chromeTrace(spans: readonly Span[]): { traceEvents: object[] } {
  const origin = spans.reduce((first, { startNs }) => Math.min(first, startNs), Number.POSITIVE_INFINITY);
  const traceEvents = spans.map(({ label, startNs, endNs }) => ({
    name: label,
    ph: 'X',
    pid: 0,
    tid: 0,
    ts: (startNs - origin) / 1000,
    dur: (endNs - startNs) / 1000,
  }));
  return { traceEvents };
}
