/** Writes an adapter's first values to the GPU: drawn from the seed, or read from an adapter on disk. */

import type { Adapter } from '../adapters/files.ts';
import { drawAdapter, type StartValues, storedValues } from '../adapters/start-values.ts';
import { TOKENS } from '../adapters/tokens.ts';
import type { TrainConfig } from '../config/settings.ts';
import { KernelCallError } from '../errors.ts';
import { readRow, type TensorSource } from '../formats/checkpoint.ts';
import { floatType, type GpuFloat } from '../formats/dtype.ts';
import { roundedTo } from '../formats/rounding.ts';
import type { StoredAs } from '../model/declare.ts';
import type { Engine } from './engine.ts';
import type { ModelLayout } from './model-layout.ts';

/**
 * Writes the first values of A, B and what else the adapter holds; for a fresh DoRA adapter the weights must be loaded,
 * since its magnitudes are their norms.
 */
export async function initializeAdapter(
  engine: Engine,
  layout: ModelLayout,
  config: TrainConfig,
  adapter: Adapter | null,
  source: TensorSource,
): Promise<void> {
  const { trainable, dora, tokens } = engine.declared;
  const values =
    adapter === null
      ? new Map([...(engine.startPairs ?? freshValues(layout, config)), ...(await tokenValues(layout, source))])
      : await storedValues(adapter);
  for (const { ids, tensor } of tokens.values()) engine.machine.write(tensor, Uint32Array.from(ids));
  for (const [name, start] of values) {
    const found = trainable.tensors.get(name);
    if (found === undefined) throw new KernelCallError(name, 'is part of the adapter, and not declared');
    engine.writeTensor(found.param, start);
  }
  if (dora.length === 0 || adapter !== null) return;
  engine.initializeMagnitudes();
  for (const { weight, lora } of dora) {
    const stored = layout.spec.storedAs(weight.name.replace(/\.weight$/, ''));
    const dtype = magnitudeDtype(stored, layout, config);
    engine.writeTensor(lora.magnitude, roundedTo(await engine.readTensor(lora.magnitude), dtype));
  }
}

/** Values that are drawn: all but those of PiSSA, which `pissaStart` gives. */
function freshValues({ lora, spec }: ModelLayout, config: TrainConfig): StartValues {
  if (lora === null) return new Map();
  const { seed, init_lora_weights: init } = config;
  if (typeof init === 'string' && init !== 'gaussian') return new Map();
  const drawing = { seed, init };
  return drawAdapter(lora.layout, drawing, (module) => adapterDtype(spec.storedAs(module), config));
}

/** Rows of trained tokens as the base has them. */
async function tokenValues({ lora, spec }: ModelLayout, source: TensorSource): Promise<StartValues> {
  const values = new Map<string, Float32Array<ArrayBuffer>>();
  for (const { module, indices, shape } of lora?.layout.tokens ?? []) {
    const stored = spec.storedAs(module);
    const rows = new Float32Array(shape[0] * shape[1]);
    for (const [i, id] of indices.entries()) rows.set(await readRow(source, `${module}.weight`, id), i * shape[1]);
    values.set(`${module}.${TOKENS}`, stored.kind === 'dense' ? roundedTo(rows, stored.dtype) : rows);
  }
  return values;
}

/**
 * Dtype that an adapter's first values are rounded to. PEFT creates the adapter in the dtype of the base weight (on a
 * 4-bit base, in its compute dtype) and widens it afterwards. bfloat16 counts as requested, whatever nibble computes
 * in.
 */
function adapterDtype(stored: StoredAs, { requested_compute_dtype }: TrainConfig): GpuFloat {
  return stored.kind === 'dense' ? stored.dtype : floatType(requested_compute_dtype).gpu;
}

/** Dtype of DoRA's norms: the wider of weight and adapter; 4-bit weights widen to the dtype of the original model. */
function magnitudeDtype(stored: StoredAs, { spec }: ModelLayout, config: TrainConfig): GpuFloat {
  const adapter = adapterDtype(stored, config);
  if (stored.kind === 'dense') return adapter;
  const model = config.dtype === 'auto' ? (spec.config.dtype ?? 'float32') : config.dtype;
  return floatType(model).gpu === adapter ? adapter : 'f32';
}
