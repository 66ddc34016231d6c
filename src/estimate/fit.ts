/** Checks that a plan fits the memory it may have, before anything is allocated, and explains one that does not. */
import { max as largest } from 'simple-statistics';
import { sizeInWords, type TrainConfig } from '../config/index.ts';
import { ConfigError, DeviceError, exitCodeOf } from '../errors.ts';
import { CATEGORIES } from '../gpu/category.ts';
import type { Device } from '../gpu/device.ts';
import type { Advice } from '../train/advice.ts';
import type { Shapes } from '../train/build.ts';
import type { BatchShape } from '../train/inputs.ts';
import { modelLayout } from '../train/model-layout.ts';
import type { RunInput } from '../train/session.ts';
import { allowedBytes } from './allowed.ts';
import { baseQuantization } from './base-quantization.ts';
import { estimateRun } from './estimate.ts';
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
  const most = await requireFit(estimate, room, (bytes) => remedies(input, device, bytes));
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
  const changes = (await peaksAfter(input, device, most)).filter(({ bytes }) => bytes < peakBytes);
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
  const isNvidia = !profile.software && info.vendor.toLowerCase() === 'nvidia';
  const memory = asked === null && isNvidia ? driver([info.device, info.description]) : null;
  const most = asked ?? memory?.freeBytes ?? Number.POSITIVE_INFINITY;
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

type Candidate = { readonly config: TrainConfig; readonly shapes: Shapes };
type Peak = { readonly what: string; readonly bytes: number };
type Change = { readonly what: string; readonly apply: (given: Candidate) => Candidate };

/** The peak after each change, the smallest first; and after all of them together, where none is enough. */
async function peaksAfter(input: RunInput, device: Pick<Device, 'profile' | 'shaders'>, most: number): Promise<Peak[]> {
  const given: Candidate = { config: input.config, shapes: input.batches.shapes };
  const changes = changesOf(given, input);
  const found: Peak[] = [];
  const measure = async ({ what, apply }: Change): Promise<void> => {
    const bytes = await peakOf(apply(given), input, device);
    if (bytes !== null) found.push({ what, bytes });
  };
  for (const change of changes) await measure(change);
  found.sort((a, b) => a.bytes - b.bytes);
  if (changes.length > 1 && !found.some(({ bytes }) => bytes <= most))
    await measure({ what: 'all of these', apply: (from) => changes.reduce((p, change) => change.apply(p), from) });
  return found;
}

/** Lists the peaks after changes as lines of a message. */
async function remedies(input: RunInput, device: Pick<Device, 'profile' | 'shaders'>, most: number): Promise<string[]> {
  const found = await peaksAfter(input, device, most);
  if (found.length === 0) return [];
  const width = largest(found.map(({ what }) => what.length));
  const rows = found.map(({ what, bytes }) => {
    const verdict = bytes <= most ? 'fits' : 'is still too much';
    return `  ${what.padEnd(width)}${sizeInWords(bytes).padStart(13)}, ${verdict}`;
  });
  return ['What would help, and what the run would need then:', ...rows];
}

function changesOf({ config, shapes }: Candidate, { layout }: RunInput): Change[] {
  const { method, gradient_checkpointing, per_device_train_batch_size: batch, max_length } = config;
  const set = (what: string, values: Partial<TrainConfig>): Change => ({
    what,
    apply: (p) => ({ ...p, config: { ...p.config, ...values } }),
  });
  const reshape = (what: string, of: (shape: BatchShape) => BatchShape): Change => ({
    what,
    apply: (p) => {
      const { train, evaluation } = p.shapes;
      return { ...p, shapes: { ...p.shapes, train: train.map(of), evaluation: evaluation.map(of) } };
    },
  });
  const half = (n: number): number => Math.ceil(n / 2);
  const longest = largest(shapes.train.map(({ S }) => S));
  const double = { load_in_4bit: true, bnb_4bit_use_double_quant: true };
  // qlora makes a checkpoint that is quantized already no smaller
  const isQuantized = method === 'qlora' || baseQuantization(layout) !== null;
  return [
    ...(method === 'full' ? [set('method: lora', { method: 'lora' })] : []),
    ...(isQuantized ? [] : [set('method: qlora with bnb_4bit_use_double_quant', { method: 'qlora', ...double })]),
    ...(gradient_checkpointing === true ? [] : [set('gradient_checkpointing: true', { gradient_checkpointing: true })]),
    ...(batch > 1 ? [reshape(`per_device_train_batch_size: ${half(batch)}`, (s) => ({ ...s, B: half(s.B) }))] : []),
    ...(longest >= 4
      ? [reshape(`max_length: ${half(Math.min(longest, max_length ?? longest))}`, (s) => ({ ...s, S: half(s.S) }))]
      : []),
  ];
}

/** Peak in bytes; null for runs that are refused, such as QLoRA of an adapter that trains a weight. */
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
