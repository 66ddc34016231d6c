/** Checks that a plan fits the memory it may have, before anything is allocated, and explains one that does not. */
import { max as largest } from 'simple-statistics';
import { sizeInWords } from '../config/index.ts';
import { ConfigError, DeviceError, exitCodeOf } from '../errors.ts';
import { CATEGORIES } from '../gpu/category.ts';
import type { Device } from '../gpu/device.ts';
import type { Advice } from '../train/advice.ts';
import { modelLayout } from '../train/model-layout.ts';
import type { RunInput } from '../train/session.ts';
import { allowedBytes } from './allowed.ts';
import { baseQuantization } from './base-quantization.ts';
import { estimateRun } from './estimate.ts';
import { type Candidate, fitsIn, peaksAfter, type Remedy, remedyLines } from './remedies.ts';
import { settlePlan } from './settle.ts';
import type { Estimate } from './types.ts';

/** An estimate of a run that fits; with advice where it does so narrowly. */
type FittingEstimate = Estimate & { readonly advice: readonly Advice[] };

/** Memory of a GPU as its driver counts it. */
export type GpuMemory = { readonly name: string; readonly totalBytes: number; readonly freeBytes: number };

/**
 * Estimates a run on a device, and requires that it fits max_gpu_memory or else the memory that is free.
 * @param driver memory of an NVIDIA GPU that calls itself any of the names; null where it cannot be told
 * @throws ConfigError, DeviceError with what would help
 */
export async function estimateThatFits(
  input: RunInput,
  device: Pick<Device, 'profile' | 'shaders' | 'info'>,
  driver: (names: readonly string[]) => GpuMemory | null,
): Promise<FittingEstimate> {
  const { config, layout, batches } = input;
  const { profile, shaders } = device;
  const estimate = estimateRun(layout, config, batches.shapes, profile, shaders);
  const room = { device, asked: allowedBytes(config), driver };
  const most = await requireFit(estimate, room, async (bytes) =>
    remedyLines(await remediesOf(input, device, bytes), fitsIn(bytes)),
  );
  return {
    ...estimate,
    advice: estimate.peakBytes > NEARLY_ALL * most ? [await nearLimit(estimate, most, input, device)] : [],
  };
}

/** Beyond this share of what is there, an allocation of the driver or of another program is enough to end a run. */
const NEARLY_ALL = 0.9;

/** Names what would need less, where a run fits narrowly. */
async function nearLimit(
  { peakBytes }: Estimate,
  most: number,
  input: RunInput,
  device: Pick<Device, 'profile' | 'shaders'>,
): Promise<Advice> {
  const changes = (await remediesOf(input, device, most)).filter(({ bytes }) => bytes < peakBytes);
  const saved = changes.map(({ what, bytes }) => `${what} needs ${sizeInWords(peakBytes - bytes)} less`);
  return {
    code: 'memory',
    path: 'max_gpu_memory',
    message: `the run needs ${sizeInWords(peakBytes)} of ${sizeInWords(most)}, ${Math.floor((100 * peakBytes) / most)} %, and drivers take some as well`,
    fix: saved.length === 0 ? 'end what else uses this GPU' : saved.join(', '),
  };
}

type Room = {
  readonly device: Pick<Device, 'profile' | 'info'>;
  /** Bytes that max_gpu_memory allows; null without it. */
  readonly asked: number | null;
  readonly driver: (names: readonly string[]) => GpuMemory | null;
};

/** Bytes that a run may have, infinite where nobody says; and the GPU's memory, where its driver decides. */
function roomOf({ device: { profile, info }, asked, driver }: Room): { most: number; memory: GpuMemory | null } {
  const isNvidia = !profile.software && info.vendor.toLowerCase() === 'nvidia';
  const memory = asked === null && isNvidia ? driver([info.device, info.description]) : null;
  return { most: asked ?? memory?.freeBytes ?? Number.POSITIVE_INFINITY, memory };
}

/** Settles what the configuration of a run leaves to the memory of its device. @returns the run, and a note on what was chosen */
export function settleRun(
  input: RunInput,
  device: Pick<Device, 'profile' | 'shaders' | 'info'>,
  driver: (names: readonly string[]) => GpuMemory | null,
): { readonly input: RunInput; readonly note: string | null } {
  const { config, layout, batches } = input;
  const { profile, shaders } = device;
  const { most } = roomOf({ device, asked: allowedBytes(config), driver });
  const { config: settled, note } = settlePlan({ config, layout, shapes: batches.shapes, profile, shaders }, most);
  return { input: { ...input, config: settled }, note };
}

/**
 * Requires that a peak fits max_gpu_memory or else the memory that is free. @param remedies lines on what would help
 * @returns the bytes that it may have, infinite where nobody says
 * @throws ConfigError, DeviceError
 */
export async function requireFit(
  estimate: Pick<Estimate, 'peakBytes' | 'byCategory'>,
  { device: { profile, info }, asked, driver }: Room,
  remedies: (most: number) => Promise<readonly string[]>,
): Promise<number> {
  const { most, memory } = roomOf({ device: { profile, info }, asked, driver });
  if (estimate.peakBytes <= most) return most;
  const detail = [arithmetic(estimate), ...(await remedies(most))].join('\n');
  const needs = `the run would be out of memory: it needs ${sizeInWords(estimate.peakBytes)} of the GPU`;
  if (memory === null)
    throw new ConfigError([
      { path: 'max_gpu_memory', message: `${needs}, ${sizeInWords(most)} are allowed (${most} bytes)\n${detail}` },
    ]);
  throw new DeviceError(
    `${needs}, ${sizeInWords(most)} of ${sizeInWords(memory.totalBytes)} are free on ${memory.name} (nvidia-smi)\n${detail}\n` +
      'End what else uses this GPU, or set max_gpu_memory to overrule its driver.',
  );
}

/** Lists the categories of the peak, a line each, and their sum. */
function arithmetic({ byCategory, peakBytes }: Pick<Estimate, 'byCategory' | 'peakBytes'>): string {
  const rows = [...CATEGORIES, 'alignment' as const]
    .filter((category) => byCategory[category] > 0)
    .map((category) => [category, byCategory[category]] as const);
  const line = (label: string, bytes: number): string => `  ${label.padEnd(14)}${sizeInWords(bytes).padStart(12)}`;
  return [...rows, ['together', peakBytes] as const].map(([label, bytes]) => line(label, bytes)).join('\n');
}

/** The peak after each change, by the run's own model, adapter and rows. */
function remediesOf(input: RunInput, device: Pick<Device, 'profile' | 'shaders'>, most: number): Promise<Remedy[]> {
  const given: Candidate = { config: input.config, shapes: input.batches.shapes };
  const isQuantized = input.config.method === 'qlora' || baseQuantization(input.layout) !== null;
  return peaksAfter(given, isQuantized, (candidate) => peakOf(candidate, input, device), most);
}

async function peakOf(
  { config, shapes }: Candidate,
  { model, source, adapter }: RunInput,
  { profile, shaders }: Pick<Device, 'profile' | 'shaders'>,
): Promise<number | null> {
  const lengths = [...shapes.train, ...shapes.evaluation].map(({ S }) => S);
  const maxPositions = largest([...lengths, shapes.sample ?? 1]);
  try {
    const layout = await modelLayout({ config, model, source, adapter, maxPositions });
    return estimateRun(layout, config, shapes, profile, shaders).peakBytes;
  } catch (error) {
    if (exitCodeOf(error) === 2) return null;
    throw error;
  }
}
