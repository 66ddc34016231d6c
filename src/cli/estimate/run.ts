/** The work of `nibble estimate`: the plan of each method, as a table or as JSON. */

import { type ResolvedConfig, type TrainConfig, wasSet } from '../../config/index.ts';
import { ConfigError, DeviceError } from '../../errors.ts';
import { estimateModel, type QuantizedLinears } from '../../estimate/estimate.ts';
import { allowedBytes } from '../../estimate/fit.ts';
import { type ModelConfig, parseModelConfig } from '../../formats/hf-config.ts';
import { parseObject } from '../../formats/json.ts';
import { type DeviceProfile, KNOWN_PROFILES } from '../../gpu/device-profile.ts';
import type { ShaderLibrary } from '../../gpu/kernel.ts';
import { loadShaders } from '../../node/device.ts';
import { nodeReader } from '../../node/files.ts';
import { withAdapterSettings } from '../../train/adapter-settings.ts';
import type { CliContext } from '../shared/context.ts';
import type { EstimateArgs } from './command.ts';
import { type EstimateRow, estimateTable, type QloraRecipe } from './table.ts';

const METHODS = ['lora', 'qlora', 'full'] as const;
const DEFAULT_PROFILE = 'nvidia';

/** @throws ConfigError, DeviceError when no method can be estimated */
export async function runEstimate(
  { config: given, modelConfig, profile = DEFAULT_PROFILE, json }: EstimateArgs,
  { stdout }: CliContext,
): Promise<void> {
  const device = Object.hasOwn(KNOWN_PROFILES, profile) ? KNOWN_PROFILES[profile] : undefined;
  if (device === undefined) {
    const known = Object.keys(KNOWN_PROFILES).join(', ');
    throw new ConfigError([{ path: '--profile', message: `got ${profile}, wanted one of ${known}` }]);
  }
  const config = await withAdapterSettings(given, nodeReader);
  const model = parseModelConfig(parseObject(modelConfig.text, modelConfig.path), modelConfig.path);
  const shaders = loadShaders();
  const recipe = qloraRecipe(config);
  const rows = await Promise.all(
    METHODS.map((method) => estimateRow(model, withMethod(config.values, method, recipe), device, shaders)),
  );
  const failed = rows.filter((row) => row.estimate === null);
  if (failed.length === rows.length) throw new DeviceError(failed[0]?.reason ?? '');
  const { per_device_train_batch_size, max_length, compute_dtype } = config.values;
  const settings = {
    profile,
    // a known profile is no device of this machine, whose tuned tiles might plan other workspaces
    tiles: device.tier === 'direct' ? null : ('default' as const),
    model: modelConfig.path,
    per_device_train_batch_size,
    max_length: Math.min(max_length, model.max_position_embeddings),
    compute_dtype,
    max_gpu_memory: allowedBytes(config.values),
  };
  const linears = rows.find((row) => row.method === 'qlora')?.estimate?.quantizedLinears ?? null;
  const bitsPerParameter = linears && quantizedFigures(linears).bits_per_parameter;
  const report = { settings, positions: model.max_position_embeddings, recipe, rows, bitsPerParameter };
  const estimates = rows.map((row) => jsonRow(row, settings.max_gpu_memory));
  stdout.write(
    json
      ? `${JSON.stringify({ ...settings, qlora_quantization: recipe, estimates }, null, 2)}\n`
      : estimateTable(report),
  );
}

/** A method that this device cannot do is a reason in its column; the others still have their figures. */
async function estimateRow(
  model: ModelConfig,
  config: TrainConfig,
  device: DeviceProfile,
  shaders: ShaderLibrary,
): Promise<EstimateRow> {
  const { method } = config;
  try {
    return { method, estimate: await estimateModel(model, config, device, shaders), reason: null };
  } catch (error) {
    if (error instanceof DeviceError) return { method, estimate: null, reason: error.message };
    throw error;
  }
}

function jsonRow({ method, estimate, reason }: EstimateRow, allowed: number | null): object {
  if (estimate === null) return { method, peak_bytes: null, reason };
  return {
    method,
    peak_bytes: estimate.peakBytes,
    ...(allowed === null ? {} : { fits: estimate.peakBytes <= allowed }),
    by_category: estimate.byCategory,
    by_phase: estimate.phases.map((p) => ({ phase: p.phase, peak: p.peakBytes })),
    num_trainable_params: estimate.trainableParams,
    num_total_params: estimate.allParams,
    quantized_linears: estimate.quantizedLinears && quantizedFigures(estimate.quantizedLinears),
  };
}

/** The configuration's own where it is for QLoRA; else QLoRA's usual one, unless a setting says otherwise. */
function qloraRecipe(config: ResolvedConfig): QloraRecipe {
  const { load_in_4bit, bnb_4bit_quant_type, bnb_4bit_use_double_quant, bnb_4bit_blocksize } = config.values;
  const double = load_in_4bit || wasSet(config, 'bnb_4bit_use_double_quant') ? bnb_4bit_use_double_quant : true;
  return { bnb_4bit_quant_type, bnb_4bit_use_double_quant: double, bnb_4bit_blocksize, assumed: !load_in_4bit };
}

/** The other methods with the settings of this one. */
function withMethod(config: TrainConfig, method: (typeof METHODS)[number], recipe: QloraRecipe): TrainConfig {
  if (method !== 'qlora') return { ...config, method, load_in_4bit: false };
  const { bnb_4bit_use_double_quant } = recipe;
  return { ...config, bnb_4bit_use_double_quant, method, load_in_4bit: true };
}

function quantizedFigures({ tensors, codeTablesBytes, formulaBytes }: QuantizedLinears) {
  const bytes = tensors.reduce((sum, t) => sum + t.packedBytes + t.absmaxBytes + t.nestedBytes + t.offsetBytes, 0);
  const elements = tensors.reduce((sum, t) => sum + t.elements, 0);
  return {
    tensors: tensors.length,
    bytes,
    elements,
    code_tables_bytes: codeTablesBytes,
    formula_bytes: formulaBytes,
    bits_per_parameter: (8 * bytes) / elements,
  };
}
