/** The start of an adapter by PiSSA: its pairs out of the base's weights, and the weights that are left of them. */
import { LORA_A, LORA_B } from '../adapters/layout.ts';
import { pissaPair, pissaRounds } from '../adapters/pissa.ts';
import type { StartValues } from '../adapters/start-values.ts';
import type { TrainConfig } from '../config/settings.ts';
import { readFloats, type TensorSource } from '../formats/checkpoint.ts';
import { roundedTo } from '../formats/rounding.ts';
import { TorchRng } from '../formats/torch-rng.ts';
import { convertedSource } from '../model/merge/converted.ts';
import { residualSource } from '../model/merge/source.ts';
import type { Codec } from '../wasm/codec.ts';
import type { ModelLayout } from './model-layout.ts';

export type PissaStart = {
  /** A and B of every pair, by their names. */
  readonly values: StartValues;
  /** The base without scaling * B A. */
  readonly residual: TensorSource;
};

/** Whether a run starts its adapter by PiSSA. */
export const startsByPissa = (config: Pick<TrainConfig, 'init_lora_weights' | 'adapter_name_or_path' | 'method'>) =>
  config.method !== 'full' && config.adapter_name_or_path === null && pissaRounds(config.init_lora_weights) !== null;

/**
 * Decomposes every adapted weight; yields their names one by one. One weight is held at a time, in f32.
 * @returns null where the adapter starts otherwise
 */
export async function* pissaStart(
  { lora, spec }: ModelLayout,
  config: TrainConfig,
  source: TensorSource,
  codec: Codec,
): AsyncGenerator<string, PissaStart | null> {
  const rounds = pissaRounds(config.init_lora_weights);
  if (lora === null || rounds === null || !startsByPissa(config)) return null;
  const { targets } = lora.layout;
  const weights = new Set(targets.map(({ name }) => `${name}.weight`));
  // from_pretrained(dtype=...) comes before the adapter
  const base = config.dtype === 'auto' ? source : convertedSource(source, codec, config.dtype, weights);
  const rng = new TorchRng(config.seed);
  const exact = new Map<string, Float32Array<ArrayBuffer>>();
  const values = new Map<string, Float32Array<ArrayBuffer>>();
  for (const { name, rank: r, in: columns, out: rows, scaling } of targets) {
    // nn.Linear draws A and B first, which the decomposition then replaces
    rng.skip(r * columns + rows * r);
    const weight = { rows, columns, values: await readFloats(base, `${name}.weight`) };
    const { A, B } = pissaPair(weight, { r, scaling, rounds }, rng);
    // PEFT takes the exact ones off, and keeps the adapter in the weight's type
    const stored = spec.storedAs(name);
    const dtype = stored.kind === 'dense' ? stored.dtype : 'f32';
    for (const [key, pair] of [[`${name}.${LORA_A}`, A] as const, [`${name}.${LORA_B}`, B] as const]) {
      exact.set(key, pair);
      values.set(key, roundedTo(pair, dtype));
    }
    yield name;
  }
  return { values, residual: residualSource(base, lora.layout, exact, codec) };
}
