/** What is measured of a run after its last step: the driver's memory, and with --profile kernel times and the device's peak. */
import writeFileAtomic from 'write-file-atomic';
import type { MicroBatch } from '../data/batch.ts';
import { START } from '../data/batches.ts';
import type { Device } from '../gpu/device.ts';
import type { Ledger } from '../gpu/ledger.ts';
import { chromeTrace, type Span } from '../gpu/profiler.ts';
import { flopsOf } from '../kernels/work.ts';
import { type KernelTime, kernelTimes } from '../results/kernel-times.ts';
import type { Engine } from '../train/engine.ts';
import type { RunInput } from '../train/session.ts';
import { prepareProduct, repeatsOf } from '../tune/product.ts';
import { type DriverSample, driverSample } from './gpu-memory.ts';

/** The peak rate of matrix products, and how it was found. */
export type MeasuredPeak = { readonly tflops: number; readonly probe: string };

export type Measured = {
  readonly ledger: Pick<Ledger, 'peak' | 'phasePeaks' | 'currentBytes'>;
  /** Operations of all micro-batches of this process, recomputed ones among them, and how many those were. */
  readonly work: { readonly flops: number; readonly microSteps: number };
  /** Null without --profile. */
  readonly kernels: { readonly source: string; readonly times: readonly KernelTime[] } | null;
  readonly peak: MeasuredPeak | null;
  /** The driver's figures before the run's first allocation and after its last step; null where it gives none. */
  readonly driver: { readonly before: DriverSample; readonly after: DriverSample } | null;
};

/** The driver's figures of the device; null for software and for drivers that give none. */
export function sampleDriver({ profile, info }: Device): DriverSample | null {
  const isNvidia = !profile.software && info.vendor.toLowerCase() === 'nvidia';
  return isNvidia ? driverSample([info.device, info.description]) : null;
}

/** Measures, and destroys the engine. Profiling does one more step, so results have to be saved before. @throws DeviceError */
export async function measureRun(
  device: Device,
  engine: Engine,
  input: RunInput,
  { profileFile, before }: { readonly profileFile: string | undefined; readonly before: DriverSample | null },
): Promise<Measured> {
  // buffers live until the engine is destroyed, so that this is the driver's peak but for what it gave back
  const after = before === null ? null : sampleDriver(device);
  const { peak, phasePeaks, currentBytes } = engine.machine.ledger;
  const ledger = { peak, phasePeaks, currentBytes };
  const driver = before === null || after === null ? null : { before, after };
  const known = { ledger, work: trainedWork(engine), driver };
  const spans = await profiled(engine, input, profileFile).finally(() => engine.destroy());
  if (spans === null || profileFile === undefined) return { ...known, kernels: null, peak: null };
  const source = sourceOf(device);
  await writeFileAtomic(profileFile, `${JSON.stringify({ ...chromeTrace(spans), otherData: { source } })}\n`);
  return { ...known, kernels: { source, times: kernelTimes(spans) }, peak: await probePeak(device, engine, input) };
}

/** Operations and number of all micro-batches of this process, by their plans. */
function trainedWork({ machine, microSteps }: Engine): Measured['work'] {
  return machine.plans.reduce(
    ({ flops, microSteps: sum }, { name, commands }) => {
      const times = microSteps.get(name) ?? 0;
      return times === 0
        ? { flops, microSteps: sum }
        : { flops: flops + times * flopsOf(commands), microSteps: sum + times };
    },
    { flops: 0, microSteps: 0 },
  );
}

async function profiled(engine: Engine, { batches }: RunInput, file: string | undefined): Promise<Span[] | null> {
  if (file === undefined) return null;
  const [batch] = (await batches.train.step(START)).microBatches as [MicroBatch];
  return engine.profileStep(batch);
}

/** Says whose clock the times are of. */
function sourceOf({ profile }: Device): string {
  return profile.software
    ? `timestamp queries of ${profile.name}, a software driver: processor time, which says nothing of a GPU`
    : `timestamp queries of ${profile.name}`;
}

/** Sides of the probe's square product: large enough to fill a GPU, and small enough for a processor. */
const PROBE = { gpu: 4096, software: 256 };
/** Samples of the probe, of which the fastest counts. */
const PROBE_SAMPLES = 5;

/** The fastest of several square products by the run's own kernels: what the device reaches here, not what is printed on its box. */
async function probePeak(device: Device, { machine }: Engine, { config }: RunInput): Promise<MeasuredPeak> {
  const side = device.profile.software ? PROBE.software : PROBE.gpu;
  const dtype = config.compute_dtype === 'float16' ? 'f16' : 'f32';
  const product = await prepareProduct(device, machine.profile, { op: 'nt', M: side, N: side, K: side, dtype });
  try {
    product.fillWithNoise();
    const { repeats } = await repeatsOf(product.seconds);
    let fastest = Number.POSITIVE_INFINITY;
    for (let i = 0; i < PROBE_SAMPLES; i++) fastest = Math.min(fastest, await product.seconds(repeats));
    const probe = `${side} x ${side} x ${side} product, weights in ${dtype}, tier ${machine.profile.tier}, fastest of ${PROBE_SAMPLES}`;
    return { tflops: (2 * side ** 3) / fastest / 1e12, probe };
  } finally {
    product.free();
  }
}
