/** Estimates LoRA, QLoRA and full training of one model with the settings of one configuration. */
import { type ResolvedConfig, type SettingKey, type TrainConfig, wasSet } from '../config/index.ts';
import { ConfigError, DeviceError } from '../errors.ts';
import type { ModelConfig } from '../formats/hf-config.ts';
import type { DeviceProfile } from '../gpu/device-profile.ts';
import type { ShaderLibrary } from '../gpu/kernel.ts';
import { allowedBytes } from './allowed.ts';
import { estimateModel } from './model.ts';
import {
  ESTIMATED_METHODS,
  type Estimate,
  type EstimatedMethod,
  type EstimateResult,
  type MethodEstimate,
  type QloraRecipe,
  type QuantizedFigures,
  type QuantizedLinears,
} from './types.ts';

export type EstimateJob = {
  readonly config: ResolvedConfig;
  readonly model: ModelConfig;
  /** Name of the model in the result: the path of its config.json. */
  readonly modelName: string;
  readonly profile: DeviceProfile;
  readonly shaders: ShaderLibrary;
};

/**
 * Records the plan of each method and counts its bytes. A method that the device cannot do gets its reason instead.
 * @param onMethod called before each method; an error it throws ends the work
 * @throws DeviceError when the device can do none of them
 */
export async function estimateMethods(
  job: EstimateJob,
  onMethod: (method: EstimatedMethod) => void | Promise<void> = () => undefined,
): Promise<EstimateResult> {
  const { model, modelName, profile } = job;
  const { values } = job.config;
  const recipe = qloraRecipe(job.config);
  const allowed = allowedBytes(values);
  const estimates: MethodEstimate[] = [];
  for (const method of ESTIMATED_METHODS) {
    await onMethod(method);
    estimates.push(await estimateMethod({ ...job, asked: values.method }, withMethod(values, method, recipe), allowed));
  }
  const failed = estimates.filter((e) => e.peak_bytes === null);
  if (failed.length === estimates.length) throw new DeviceError(failed[0]?.reason ?? '');
  return {
    profile: profile.name,
    // profiles have default tiles; tiles tuned on the real device may need other workspaces
    tiles: profile.tier === 'direct' ? null : 'default',
    model: modelName,
    per_device_train_batch_size: values.per_device_train_batch_size,
    max_length: Math.min(values.max_length ?? model.max_position_embeddings, model.max_position_embeddings),
    max_position_embeddings: model.max_position_embeddings,
    compute_dtype: values.compute_dtype,
    max_gpu_memory: allowed,
    qlora_quantization: recipe,
    estimates,
  };
}

async function estimateMethod(
  { model, profile, shaders, asked }: EstimateJob & { readonly asked: EstimatedMethod },
  config: TrainConfig,
  allowed: number | null,
): Promise<MethodEstimate> {
  const { method } = config;
  try {
    return figuresOf(config, await estimateModel(model, config, profile, shaders), allowed);
  } catch (error) {
    const isOfMethod =
      isProblemOf('paged_optimizer_memory', error) || (method !== asked && isProblemOf('init_lora_weights', error));
    if (error instanceof DeviceError || isOfMethod) return { method, peak_bytes: null, reason: error.message };
    throw error;
  }
}

/**
 * Tells what one method refuses and another takes: a budget for an optimizer's state that is too small for it, or a start that a base in
 * 4 bits has not.
 */
function isProblemOf(setting: SettingKey, error: unknown): error is ConfigError {
  return error instanceof ConfigError && error.problems.some(({ path }) => path === setting);
}

function figuresOf(
  { method, gradient_checkpointing }: TrainConfig,
  estimate: Estimate,
  allowed: number | null,
): MethodEstimate {
  return {
    method,
    peak_bytes: estimate.peakBytes,
    ...(allowed === null ? {} : { fits: estimate.peakBytes <= allowed }),
    by_category: estimate.byCategory,
    by_phase: estimate.phases.map((p) => ({ phase: p.phase, peak: p.peakBytes })),
    num_trainable_params: estimate.trainableParams,
    num_total_params: estimate.allParams,
    quantized_linears: estimate.quantizedLinears && quantizedFigures(estimate.quantizedLinears),
    ...(gradient_checkpointing === 'auto' && { gradient_checkpointing: estimate.gradientCheckpointing }),
    ...(estimate.state.hostBytes > 0 && { optimizer_host_bytes: estimate.state.hostBytes }),
  };
}

/**
 * Recipe of the configuration where it is for QLoRA; else the usual one, double quantization included unless it was
 * set.
 */
export function qloraRecipe(config: ResolvedConfig): QloraRecipe {
  const { load_in_4bit, bnb_4bit_quant_type, bnb_4bit_use_double_quant, bnb_4bit_blocksize } = config.values;
  const double = load_in_4bit || wasSet(config, 'bnb_4bit_use_double_quant') ? bnb_4bit_use_double_quant : true;
  return { bnb_4bit_quant_type, bnb_4bit_use_double_quant: double, bnb_4bit_blocksize, assumed: !load_in_4bit };
}

/** Changes the method of a configuration and keeps its other settings. */
export function withMethod(config: TrainConfig, method: EstimatedMethod, recipe: QloraRecipe): TrainConfig {
  if (method !== 'qlora') return { ...config, method, load_in_4bit: false };
  const { bnb_4bit_use_double_quant } = recipe;
  return { ...config, bnb_4bit_use_double_quant, method, load_in_4bit: true };
}

function quantizedFigures({ tensors, codeTablesBytes, formulaBytes }: QuantizedLinears): QuantizedFigures {
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
