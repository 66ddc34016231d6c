/** Does the work of `nibble estimate`: the memory of each method, as a table or as JSON. */
import { deviceProfile, estimateConfig } from '../../node/estimate.ts';
import type { CliContext } from '../shared/context.ts';
import type { EstimateArgs } from './command.ts';
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
