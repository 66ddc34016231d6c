/** GPU memory of an arm before it runs, from its plan on a known profile; and the largest batch that a budget allows. */
import {
  type Budget,
  bytesOfSize,
  type ResolvedConfig,
  type ResolvedSuite,
  settleComputeDtype,
  sizeInWords,
  withValues,
} from '../config/index.ts';
import { ConfigError, DeviceError } from '../errors.ts';
import { estimateModel } from '../estimate/model.ts';
import type { Estimate } from '../estimate/types.ts';
import { readModelConfig } from '../formats/hf-config.ts';
import { type DeviceProfile, KNOWN_PROFILES } from '../gpu/device-profile.ts';
import { loadShaders } from '../node/device.ts';
import { nodeReader } from '../node/files.ts';
import { hubAccess } from '../node/hub-access.ts';
import { fetchInputs } from '../node/hub-inputs.ts';
import { withAdapterSettings } from '../train/adapter-settings.ts';
import { resolveBuiltins } from './builtin.ts';

/** Profile that estimates are made on without a device: matrix units and 2 GiB bindings. */
export const ESTIMATE_PROFILE = 'nvidia';

/** A folder for models that `builtin:` names stand for, and the signal that ends a download. */
type Surroundings = { readonly directory: string; readonly signal: AbortSignal };

/** Estimates full batches of an arm. @throws ConfigError, DataError, DeviceError */
export async function estimateArm(given: ResolvedConfig, surroundings: Surroundings): Promise<Estimate> {
  const { config, model, profile } = await prepared(given, surroundings);
  return estimateModel(model, config.values, profile, loadShaders());
}

async function prepared(given: ResolvedConfig, { directory, signal }: Surroundings) {
  const profile = KNOWN_PROFILES[ESTIMATE_PROFILE] as DeviceProfile;
  const { config: values } = await resolveBuiltins(given.values, directory);
  const local = { ...given, values };
  const hub = () => hubAccess({ offline: local.values.offline, signal, onEvent: () => undefined });
  const fetched = await fetchInputs(local, hub, 'config');
  const { config } = settleComputeDtype(await withAdapterSettings(fetched.config, nodeReader), profile);
  const model = await readModelConfig(nodeReader(config.values.model_name_or_path));
  return { config, model, profile };
}

/**
 * Gives every arm of a suite with a budget the largest batch, or the longest rows, whose plan fits; the same memory is set
 * as max_gpu_memory, so that a device whose plan needs more refuses the run instead of going over the budget.
 * @throws ConfigError for an arm that does not fit at 1
 */
export async function withBudget(suite: ResolvedSuite, surroundings: Surroundings): Promise<ResolvedSuite> {
  const { budget } = suite;
  if (budget === null) return suite;
  const cases = [];
  for (const entry of suite.cases) {
    const arms = [];
    for (const { name, config } of entry.arms) {
      const where = entry.name === null ? `arms.${name}` : `arms.${name} in case ${entry.name}`;
      arms.push({ name, config: await stretched(config, budget, where, surroundings) });
    }
    cases.push({ ...entry, arms });
  }
  return { ...suite, cases };
}

async function stretched(
  given: ResolvedConfig,
  { memory, largest: key, most }: Budget,
  where: string,
  surroundings: Surroundings,
): Promise<ResolvedConfig> {
  const { config, model, profile } = await prepared(given, surroundings);
  const shaders = loadShaders();
  const bytes = bytesOfSize(memory);
  const peakAt = async (value: number): Promise<number> => {
    try {
      return (await estimateModel(model, { ...config.values, [key]: value }, profile, shaders)).peakBytes;
    } catch (error) {
      // beyond what a profile can bind or dispatch
      if (value > 1 && error instanceof DeviceError) return Number.POSITIVE_INFINITY;
      throw error;
    }
  };
  const longest = key === 'max_length' ? Math.min(most, model.max_position_embeddings) : most;
  const value = await largestThatFits(longest, async (n) => (await peakAt(n)) <= bytes);
  if (value === 0) {
    const needs = sizeInWords(await peakAt(1));
    const message = `${sizeInWords(bytes)} are too little for ${where}: with ${key}: 1 it needs ${needs}; raise it, or leave the arm out`;
    throw new ConfigError([{ path: 'budget.memory', message }]);
  }
  return withValues(given, { [key]: value, max_gpu_memory: memory }, { source: 'arm', where: 'budget' });
}

/** The largest of 1 to `most` that fits, where all below one that fits do; 0 where none does. */
export async function largestThatFits(most: number, fits: (value: number) => Promise<boolean>): Promise<number> {
  let low = 0;
  let high = 1;
  while (high <= most && (await fits(high))) {
    low = high;
    high *= 2;
  }
  high = Math.min(high, most + 1);
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (await fits(middle)) low = middle;
    else high = middle;
  }
  return low;
}
