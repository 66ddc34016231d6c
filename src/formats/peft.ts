/** A LoRA adapter on disk, as PEFT saves and loads it. */
import { DataError } from '../errors.ts';
import { openSafetensors, type TensorSource } from './checkpoint.ts';
import { isFloatDtype } from './dtype.ts';
import { show } from './json.ts';
import { ADAPTER_CONFIG_FILE, formatLoraConfig, type LoraConfig, readLoraConfig } from './peft-config.ts';
import { explicitTargets, type LoraTarget, type MatchOptions, matchTargets } from './peft-match.ts';
import { type FileReader, type FileWriter, place, writeText } from './reader.ts';
import { writeSafetensors } from './safetensors-write.ts';

export const ADAPTER_FILE = 'adapter_model.safetensors';
const PREFIX = 'base_model.model.';
/** Beyond this many, the rest of the offending tensors is only counted. */
const LISTED = 20;

/** Linear layers of the model by name, each with its weight's (out, in). */
export type LinearShapes = ReadonlyMap<string, readonly [out: number, inner: number]>;

export type Adapter = {
  readonly config: LoraConfig;
  readonly targets: readonly LoraTarget[];
  readonly source: TensorSource;
};

/** Names of a module's two matrices in adapter_model.safetensors: A is (rank, in), B is (out, rank). */
export function loraTensorNames(module: string): { readonly a: string; readonly b: string } {
  return { a: `${PREFIX}${module}.lora_A.weight`, b: `${PREFIX}${module}.lora_B.weight` };
}

/** Every tensor an adapter on these targets holds, with its shape, in the order of the targets, A before B. */
export function adapterShapes(
  targets: readonly LoraTarget[],
  linear: LinearShapes,
): Map<string, readonly [number, number]> {
  return new Map(
    targets.flatMap(({ name, rank }) => {
      const [out, inner] = linear.get(name)!;
      const { a, b } = loraTensorNames(name);
      return [[a, [rank, inner] as const] as const, [b, [out, rank] as const] as const];
    }),
  );
}

/**
 * Opens an adapter for a model. Its tensors are read with `readFloats(adapter.source, name)`.
 * DataError listing every missing, foreign and misshapen tensor at once; ConfigError from adapter_config.json.
 */
export async function openAdapter(reader: FileReader, linear: LinearShapes, options?: MatchOptions): Promise<Adapter> {
  const config = await readLoraConfig(reader);
  if (!(await reader.exists(ADAPTER_FILE)) && (await reader.exists('adapter_model.bin'))) {
    throw new DataError(
      place(reader, 'adapter_model.bin'),
      `is a pickle, which runs code when it is loaded and is refused. Save the adapter as ${ADAPTER_FILE} (PEFT's default).`,
    );
  }
  const targets = matchTargets(config, [...linear.keys()], {
    key: `${place(reader, ADAPTER_CONFIG_FILE)}: target_modules`,
    ...options,
  });
  const source = await openSafetensors(reader, ADAPTER_FILE);
  checkTensors(source, adapterShapes(targets, linear), place(reader, ADAPTER_FILE));
  return { config, targets, source };
}

function checkTensors(source: TensorSource, wanted: ReadonlyMap<string, readonly number[]>, file: string): void {
  const faults: string[] = [];
  for (const [name, shape] of wanted) {
    if (!source.has(name)) {
      faults.push(`${name} is missing, needs ${show(shape)}`);
      continue;
    }
    const got = source.info(name);
    if (show(got.shape) !== show(shape)) faults.push(`${name} is ${show(got.shape)}, needs ${show(shape)}`);
    else if (!isFloatDtype(got.dtype)) faults.push(`${name} is ${got.dtype}, needs F32, F16 or BF16`);
  }
  for (const name of source.names()) {
    if (!wanted.has(name)) faults.push(`${name} belongs to no adapted layer of this model`);
  }
  if (faults.length === 0) return;
  const more = faults.length > LISTED ? `\n  and ${faults.length - LISTED} more` : '';
  throw new DataError(
    file,
    `${faults.length} tensors do not fit the model and ${ADAPTER_CONFIG_FILE}. Was the adapter trained on another base?\n` +
      `  ${faults.slice(0, LISTED).join('\n  ')}${more}`,
  );
}

export type AdapterToSave = {
  readonly config: LoraConfig;
  readonly targets: readonly LoraTarget[];
  readonly linear: LinearShapes;
  /** A tensor's values, f32 row-major, asked for once each under the names of `adapterShapes`. */
  readonly values: (name: string) => Float32Array | Promise<Float32Array>;
};

/** Writes adapter_model.safetensors, adapter_config.json and a short README.md, each atomically and in this order. */
export async function saveAdapter(writer: FileWriter, adapter: AdapterToSave): Promise<void> {
  const { config, targets, linear, values } = adapter;
  const tensors = [...adapterShapes(targets, linear)].map(([name, shape]) => ({
    name,
    dtype: 'F32' as const,
    shape,
    data: async function* () {
      const { buffer, byteOffset, byteLength } = await values(name);
      yield new Uint8Array(buffer, byteOffset, byteLength);
    },
  }));
  await writeSafetensors(writer, ADAPTER_FILE, tensors);
  const isList = typeof config.target_modules === 'object' && config.target_modules !== null;
  const saved = isList ? config : asList(config, targets, [...linear.keys()]);
  await writeText(writer, ADAPTER_CONFIG_FILE, `${formatLoraConfig(saved)}\n`);
  await writeText(writer, 'README.md', modelCard(saved));
}

/** A list is what every reader of adapters understands; it already says what exclusions and layers said. */
function asList(config: LoraConfig, targets: readonly LoraTarget[], linear: readonly string[]): LoraConfig {
  const target_modules = explicitTargets(targets, linear);
  return { ...config, target_modules, exclude_modules: null, layers_to_transform: null, layers_pattern: null };
}

function modelCard(config: LoraConfig): string {
  const base = config.base_model_name_or_path ?? 'not recorded';
  const targets = config.target_modules as readonly string[];
  return `---
library_name: peft
${config.base_model_name_or_path === null ? '' : `base_model: ${JSON.stringify(base)}\n`}tags:
  - lora
---

# LoRA adapter

Base model: ${base}

Rank ${config.r}, alpha ${config.lora_alpha}${config.use_rslora ? ' (rank-stabilised)' : ''}, dropout ${config.lora_dropout}, on ${targets.join(', ')}.

Trained with nibble. It loads with PEFT:

\`\`\`python
from peft import PeftModel
model = PeftModel.from_pretrained(base_model, "path/to/this/directory")
\`\`\`
`;
}

/** The line PEFT's print_trainable_parameters prints, without a line end. */
export function printTrainable(trainable: number, all: number): string {
  const count = (n: number): string => n.toLocaleString('en-US');
  const percent = percent4((100 * trainable) / all);
  return `trainable params: ${count(trainable)} || all params: ${count(all)} || trainable%: ${percent}`;
}

/** Python rounds an exact half to the even digit, toFixed up; exact halves of a 4th decimal are odd multiples of 1/32. */
function percent4(value: number): string {
  const truncated = value.toFixed(5).slice(0, -1);
  const isHalf = Math.abs((value * 32) % 2) === 1;
  return isHalf && '02468'.includes(truncated.at(-1)!) ? truncated : value.toFixed(4);
}
