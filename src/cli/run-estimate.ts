/** The work of `nibble estimate`: the plan of each method, as a table or as JSON. */
import { estimateModel } from '../bench/estimate.ts';
import type { TrainConfig } from '../config/settings.ts';
import { ConfigError } from '../errors.ts';
import { parseModelConfig } from '../formats/hf-config.ts';
import { parseObject } from '../formats/json.ts';
import { CATEGORIES } from '../gpu/category.ts';
import { KNOWN_PROFILES } from '../gpu/device-profile.ts';
import { loadShaders } from '../gpu/node.ts';
import { formatBytes } from '../report/format.ts';
import type { CliContext } from './context.ts';
import type { EstimateArgs } from './estimate.ts';

const METHODS = ['lora', 'qlora', 'full'] as const;
const DEFAULT_PROFILE = 'nvidia';

export async function runEstimate(
  { config, modelConfig, profile = DEFAULT_PROFILE, json }: EstimateArgs,
  { stdout }: CliContext,
): Promise<void> {
  const device = KNOWN_PROFILES[profile];
  if (device === undefined) {
    throw new ConfigError([
      { path: '--profile', message: `got ${profile}, wanted one of ${Object.keys(KNOWN_PROFILES).join(', ')}` },
    ]);
  }
  const model = parseModelConfig(parseObject(modelConfig.text, modelConfig.path), modelConfig.path);
  const shaders = loadShaders();
  const estimates = await Promise.all(
    METHODS.map(async (method) => ({
      method,
      ...(await estimateModel(model, withMethod(config.values, method), device, shaders)),
    })),
  );
  const { per_device_train_batch_size: batch, max_length, compute_dtype } = config.values;
  const tokens = Math.min(max_length, model.max_position_embeddings);
  if (json) {
    const settings = {
      profile,
      model: modelConfig.path,
      per_device_train_batch_size: batch,
      max_length: tokens,
      compute_dtype,
    };
    const rows = estimates.map((e) => ({
      method: e.method,
      peak_bytes: e.peakBytes,
      by_category: e.byCategory,
      by_phase: e.phases.map((p) => ({ phase: p.phase, peak: p.peakBytes })),
      num_trainable_params: e.trainableParams,
      num_total_params: e.allParams,
      quantized_linears: e.quantizedLinears && quantizedFigures(e.quantizedLinears),
    }));
    stdout.write(`${JSON.stringify({ ...settings, estimates: rows }, null, 2)}\n`);
    return;
  }
  stdout.write(
    `${modelConfig.path}: ${batch} x ${tokens} tokens a micro-batch, ${compute_dtype}, device profile ${profile}\n\n`,
  );
  const line = (label: string, cells: readonly string[]): string =>
    `${label.padEnd(16)}${cells.map((c) => c.padStart(14)).join('')}\n`;
  stdout.write(line('', [...METHODS]));
  for (const category of [...CATEGORIES, 'alignment'] as const) {
    stdout.write(
      line(
        category,
        estimates.map((e) => formatBytes(e.byCategory[category])),
      ),
    );
  }
  stdout.write(
    line(
      'peak',
      estimates.map((e) => formatBytes(e.peakBytes)),
    ),
  );
  stdout.write(
    line(
      'trainable',
      estimates.map((e) => e.trainableParams.toLocaleString('en-US')),
    ),
  );
  const quantized = estimates.find((e) => e.quantizedLinears !== null)?.quantizedLinears;
  if (quantized)
    stdout.write(
      `\nqlora keeps its quantized linears at ${quantizedFigures(quantized).bits_per_parameter.toFixed(3)} bits a parameter.\n`,
    );
}

/** The other methods with the settings of this one; where it is not QLoRA, QLoRA is taken with NF4 and double quantization. */
function withMethod(config: TrainConfig, method: (typeof METHODS)[number]): TrainConfig {
  if (method !== 'qlora') return { ...config, method, load_in_4bit: false };
  const recipe = config.load_in_4bit ? {} : ({ bnb_4bit_quant_type: 'nf4', bnb_4bit_use_double_quant: true } as const);
  return { ...config, ...recipe, method, load_in_4bit: true };
}

function quantizedFigures({
  tensors,
  codeTablesBytes,
  formulaBytes,
}: NonNullable<Awaited<ReturnType<typeof estimateModel>>['quantizedLinears']>) {
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
