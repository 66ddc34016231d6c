/** Estimates generation with a base in each form that it can have: as its checkpoint holds it, and in 4 bits. */
import { DeviceError } from '../errors.ts';
import type { DeviceProfile } from '../gpu/device-profile.ts';
import type { ShaderLibrary } from '../gpu/kernel.ts';
import { estimateGeneration, type GenerationEstimate } from './generation.ts';
import type { GenerationFigures } from './generation-figures.ts';
import { fullBatch, type GenerationBase, type GenerationLengths, roomOf } from './generation-lengths.ts';

export type GenerationForm = { readonly name: string; readonly base: GenerationBase };
export type GenerationEstimateJob = {
  readonly forms: readonly GenerationForm[];
  readonly lengths: GenerationLengths;
  /** Bytes that may be needed; null where nobody says. */
  readonly allowed: number | null;
  readonly profile: DeviceProfile;
  readonly shaders: ShaderLibrary;
};

/**
 * Counts the bytes of each form. @param onForm called before each; an error it throws ends the work
 * @throws DeviceError when the device can do none of them
 */
export async function estimateForms(
  job: GenerationEstimateJob,
  onForm: (name: string) => void | Promise<void> = () => undefined,
): Promise<GenerationFigures[]> {
  const found: GenerationFigures[] = [];
  for (const form of job.forms) {
    await onForm(form.name);
    found.push(figuresOf(form, job));
  }
  const [first] = found;
  if (first?.peak_bytes === null && found.every(({ peak_bytes }) => peak_bytes === null))
    throw new DeviceError(first.reason);
  return found;
}

function figuresOf({ name, base }: GenerationForm, job: GenerationEstimateJob): GenerationFigures {
  const { lengths, allowed, profile, shaders } = job;
  try {
    const estimate = estimateGeneration(fullBatch(base, lengths), profile, shaders);
    const bytes = { base: name, ...bytesOf(estimate) };
    if (allowed === null) return bytes;
    const { largestBatch, longestContext } = roomOf(base, lengths, allowed, job);
    return {
      ...bytes,
      fits: estimate.peakBytes <= allowed,
      largest_batch_size: largestBatch,
      longest_context: longestContext,
    };
  } catch (error) {
    if (error instanceof DeviceError) return { base: name, peak_bytes: null, reason: error.message };
    throw error;
  }
}

const bytesOf = ({ peakBytes, byCategory, phases }: GenerationEstimate) => ({
  peak_bytes: peakBytes,
  by_category: byCategory,
  by_phase: phases.map((p) => ({ phase: p.phase, peak: p.peakBytes })),
});
