/** Does the work of `nibble estimate`: the memory of each method, as a table or as JSON. */
import { deviceProfile, estimateConfig } from '../../node/estimate.ts';
import { estimateGenerateFrom } from '../../node/estimate-generate.ts';
import { namedFolder } from '../../node/prompts.ts';
import type { CliContext } from '../shared/context.ts';
import { drawWork } from '../shared/draw-work.ts';
import { createProgress } from '../shared/progress.ts';
import type { EstimateArgs, GenerateEstimateArgs } from './command.ts';
import { generationTable } from './generation-table.ts';
import { estimateTable } from './table.ts';

/** Estimates and prints. @throws ConfigError, DataError; DeviceError when no method can be estimated */
export async function runEstimate(
  { config, modelConfig, profile, json }: EstimateArgs,
  { stdout, signal }: CliContext,
): Promise<void> {
  const device = deviceProfile(profile, '--profile');
  const result = await estimateConfig({ config, modelConfig, device }, { signal });
  stdout.write(json ? `${JSON.stringify(result, null, 2)}\n` : estimateTable(result));
}

/** Estimates generation and prints. @throws ConfigError, DataError; DeviceError when no form of the base can be estimated */
export async function runGenerateEstimate(
  { model, adapters, config, profile, json }: GenerateEstimateArgs,
  { stdout, stderr, env, signal }: CliContext,
): Promise<void> {
  const device = deviceProfile(profile, '--profile');
  const progress = createProgress(stderr, env);
  try {
    const job = { model, modelName: 'model', adapters: adapters.map(namedFolder), config, device };
    const result = await estimateGenerateFrom(job, { onEvent: drawWork(progress), signal });
    progress.stop();
    stdout.write(json ? `${JSON.stringify(result, null, 2)}\n` : generationTable(result));
  } finally {
    progress.stop();
  }
}
