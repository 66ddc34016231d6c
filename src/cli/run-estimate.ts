/** The work of `nibble estimate`: the plan of each method, as a table or as JSON. */
import { type Estimate, estimateModel, type QuantizedLinears } from '../bench/estimate.ts';
import type { TrainConfig } from '../config/index.ts';
import { ConfigError, DeviceError } from '../errors.ts';
import { type ModelConfig, parseModelConfig } from '../formats/hf-config.ts';
import { parseObject } from '../formats/json.ts';
import { nodeReader } from '../formats/node.ts';
import { CATEGORIES } from '../gpu/category.ts';
import { type DeviceProfile, KNOWN_PROFILES } from '../gpu/device-profile.ts';
import type { ShaderLibrary } from '../gpu/kernel.ts';
import { loadShaders } from '../gpu/node.ts';
import { formatBytes } from '../report/format.ts';
import { withAdapterSettings } from '../train/adapter-settings.ts';
import type { CliContext } from './context.ts';
import type { EstimateArgs } from './estimate.ts';

const METHODS = ['lora', 'qlora', 'full'] as const;
const DEFAULT_PROFILE = 'nvidia';

type Row = {
  readonly method: (typeof METHODS)[number];
  readonly estimate: Estimate | null;
  readonly reason: string | null;
};

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
  const rows = await Promise.all(
    METHODS.map((method) => estimateRow(model, withMethod(config.values, method), device, shaders)),
  );
  const failed = rows.filter((row) => row.estimate === null);
  if (failed.length === rows.length) throw new DeviceError(failed[0]?.reason ?? '');
  const { per_device_train_batch_size, max_length, compute_dtype } = config.values;
  const settings = {
    profile,
    model: modelConfig.path,
    per_device_train_batch_size,
    max_length: Math.min(max_length, model.max_position_embeddings),
    compute_dtype,
  };
  stdout.write(
    json ? `${JSON.stringify({ ...settings, estimates: rows.map(jsonRow) }, null, 2)}\n` : table(settings, rows),
  );
}

/** A method that this device cannot do is a reason in its column; the others still have their figures. */
async function estimateRow(
  model: ModelConfig,
  config: TrainConfig,
  device: DeviceProfile,
  shaders: ShaderLibrary,
): Promise<Row> {
  const { method } = config;
  try {
    return { method, estimate: await estimateModel(model, config, device, shaders), reason: null };
  } catch (error) {
    if (error instanceof DeviceError) return { method, estimate: null, reason: error.message };
    throw error;
  }
}

function jsonRow({ method, estimate, reason }: Row): object {
  if (estimate === null) return { method, peak_bytes: null, reason };
  return {
    method,
    peak_bytes: estimate.peakBytes,
    by_category: estimate.byCategory,
    by_phase: estimate.phases.map((p) => ({ phase: p.phase, peak: p.peakBytes })),
    num_trainable_params: estimate.trainableParams,
    num_total_params: estimate.allParams,
    quantized_linears: estimate.quantizedLinears && quantizedFigures(estimate.quantizedLinears),
  };
}

type Settings = {
  readonly profile: string;
  readonly model: string;
  readonly per_device_train_batch_size: number;
  readonly max_length: number;
  readonly compute_dtype: string;
};

function table(settings: Settings, rows: readonly Row[]): string {
  const line = (label: string, cells: readonly string[]): string =>
    `${label.padEnd(16)}${cells.map((c) => c.padStart(14)).join('')}\n`;
  const figures = (label: string, of: (estimate: Estimate) => string): string =>
    line(
      label,
      rows.map(({ estimate }) => (estimate === null ? '–' : of(estimate))),
    );
  const quantized = rows.find((row) => row.method === 'qlora')?.estimate?.quantizedLinears;
  return [
    `${settings.model}, ${settings.compute_dtype}, device profile ${settings.profile}:\n`,
    `full batches of ${settings.per_device_train_batch_size} x ${settings.max_length} tokens; batches of other shapes add a little\n\n`,
    line('', [...METHODS]),
    ...[...CATEGORIES, 'alignment' as const].map((category) =>
      figures(category, (e) => formatBytes(e.byCategory[category])),
    ),
    figures('peak', (e) => formatBytes(e.peakBytes)),
    figures('trainable', (e) => e.trainableParams.toLocaleString('en-US')),
    ...(quantized
      ? [
          `\nqlora keeps its quantized linears at ${quantizedFigures(quantized).bits_per_parameter.toFixed(3)} bits a parameter.\n`,
        ]
      : []),
    ...rows.flatMap(({ method, reason }) => (reason === null ? [] : [`\n${method}: ${reason}\n`])),
  ].join('');
}

/** The other methods with the settings of this one; where it is not QLoRA, QLoRA is taken with NF4 and double quantization. */
function withMethod(config: TrainConfig, method: (typeof METHODS)[number]): TrainConfig {
  if (method !== 'qlora') return { ...config, method, load_in_4bit: false };
  const recipe = config.load_in_4bit ? {} : ({ bnb_4bit_quant_type: 'nf4', bnb_4bit_use_double_quant: true } as const);
  return { ...config, ...recipe, method, load_in_4bit: true };
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
