/**
 * An adapter as llama.cpp reads it: pairs lora_a and lora_b under llama.cpp's names, and one alpha for the file. It multiplies each
 * update by alpha / rank, so that every other scaling goes into alpha or, where layers differ, into lora_b. Pure.
 * Source: convert_lora_to_gguf.py and src/llama-adapter.cpp of llama.cpp v0.4.0.
 */
import { show } from '../config/show.ts';
import { ConfigError, type ConfigProblem, KernelCallError } from '../errors.ts';
import { rawBytes } from '../formats/dtype.ts';
import type { GgufMetadata, GgufTensor, GgufTensorType, GgufValue } from '../formats/gguf-write.ts';
import type { ModelConfig } from '../formats/hf-config.ts';
import { lastSegment } from './base.ts';
import type { LoraConfig } from './config.ts';
import { GGUF_ARCHITECTURES, type GgufArchitecture, ggufName } from './export-names.ts';
import type { Adapter } from './files.ts';
import { EMBEDDING_A, EMBEDDING_B, LORA_A, LORA_B } from './layout.ts';
import type { LoraTarget } from './match.ts';
import type { StartValues } from './start-values.ts';

/** Parts of config.json that say how weights lie in GGUF. */
export type ExportBase = Pick<ModelConfig, 'architecture' | 'num_attention_heads' | 'num_key_value_heads'>;

export type GgufAdapter = { readonly metadata: GgufMetadata; readonly tensors: readonly GgufTensor[] };

export type ExportOptions = {
  /** general.name, which programs show. */
  readonly name: string;
  readonly type: GgufTensorType;
  /** Rounds to float16, little-endian bytes. */
  readonly toF16: (values: Float32Array<ArrayBuffer>) => Uint8Array;
};

/** The version of ggml's quantized blocks, which its files carry whether they hold any or not. */
const QUANTIZATION_VERSION = 2;

/** Refuses what a GGUF adapter cannot hold. `file` is what problems name. @throws ConfigError with all of it */
export function requireExportable({ config, layout }: Adapter, base: ExportBase, file: string): void {
  const problems: ConfigProblem[] = [];
  const report = (key: string, message: string) =>
    problems.push({ path: `${file}: ${key}`, message: `${message}. ${INSTEAD}` });
  const architecture = GGUF_ARCHITECTURES[base.architecture];
  if (architecture === null)
    report('base_model_name_or_path', `is a ${base.architecture}, which llama.cpp does not have`);
  if (config.use_dora) report('use_dora', 'is true, and a GGUF adapter has no place for magnitudes');
  if (config.lora_bias) report('lora_bias', 'is true, and a GGUF adapter holds no biases');
  if (layout.tokens.length > 0)
    report(
      'trainable_token_indices',
      `is ${show(config.trainable_token_indices)}, and a GGUF adapter holds no rows of weights`,
    );
  if (layout.trained.some(({ isCopy }) => !isCopy))
    report('bias', `is ${show(config.bias)}, and a GGUF adapter holds no biases`);
  if (layout.trained.some(({ isCopy }) => isCopy))
    report('modules_to_save', `is ${show(config.modules_to_save)}, and a GGUF adapter holds no whole weights`);
  const strange = layout.targets.filter(({ name }) => architecture !== null && ggufName(name, architecture) === null);
  for (const { name } of strange)
    report('target_modules', `adapts ${name}, for which llama.cpp has no weight in a ${base.architecture}`);
  if (problems.length > 0) throw new ConfigError(problems);
}

const INSTEAD = 'Merge the adapter (nibble merge), and convert the merged model';

/**
 * Lays out the file. @param values of the adapter, from `storedValues`
 * @throws ConfigError where `requireExportable` does
 */
export function ggufAdapter(
  { config, layout }: Adapter,
  base: ExportBase,
  values: StartValues,
  { name, type, toF16 }: ExportOptions,
): GgufAdapter {
  const architecture = GGUF_ARCHITECTURES[base.architecture];
  if (architecture === null) throw new KernelCallError('ggufAdapter', `llama.cpp has no ${base.architecture}`);
  const alpha = Math.fround(alphaOf(config, layout.targets));
  const tensor = (tensorName: string, shape: readonly number[], data: () => Float32Array<ArrayBuffer>): GgufTensor => ({
    name: tensorName,
    type,
    shape,
    data: () => (type === 'F32' ? rawBytes(data()) : toF16(data())),
  });
  const tensors = layout.targets.flatMap((target) => {
    const weight = ggufName(target.name, architecture);
    const { A, B } = valuesOf(target, values);
    const { rank, out, in: width, kind } = target;
    const factor = effectiveAlpha(target, config) / alpha;
    const isEmbedding = kind === 'embedding';
    const rowsB = isEmbedding ? width : out;
    const heads = isEmbedding ? null : rotatedHeads(target.name, base, architecture);
    return [
      // an embedding's A is looked up by token, and lies (tokens, r)
      tensor(`${weight}.lora_a`, isEmbedding ? [out, rank] : [rank, width], () => A),
      tensor(`${weight}.lora_b`, [rowsB, rank], () => scaled(heads === null ? B : pairedRows(B, rank, heads), factor)),
    ];
  });
  return { metadata: metadataOf(name, config, architecture, alpha), tensors };
}

/** llama.cpp's alpha for a target: the one that, divided by its rank, is its scaling. */
function effectiveAlpha({ alpha, rank }: LoraTarget, { use_rslora }: LoraConfig): number {
  return use_rslora ? alpha * Math.sqrt(rank) : alpha;
}

/** The alpha of the file: that of every target or, where they differ, that of the config's own rank and alpha. */
function alphaOf(config: LoraConfig, targets: readonly LoraTarget[]): number {
  const alphas = new Set(targets.map((target) => effectiveAlpha(target, config)));
  const [only] = alphas;
  if (alphas.size === 1 && only !== undefined) return only;
  return config.use_rslora ? config.lora_alpha * Math.sqrt(config.r) : config.lora_alpha;
}

function valuesOf({ name, kind }: LoraTarget, values: StartValues) {
  const of = (suffix: string): Float32Array<ArrayBuffer> => {
    const found = values.get(`${name}.${suffix}`);
    if (found === undefined) throw new KernelCallError(`${name}.${suffix}`, 'is part of the adapter, and was not read');
    return found;
  };
  return kind === 'embedding' ? { A: of(EMBEDDING_A), B: of(EMBEDDING_B) } : { A: of(LORA_A), B: of(LORA_B) };
}

/** Heads of a weight whose rows llama.cpp has in another order; null for all others. */
function rotatedHeads(module: string, base: ExportBase, { pairsRows }: GgufArchitecture): number | null {
  const last = lastSegment(module);
  if (!pairsRows || (last !== 'q_proj' && last !== 'k_proj')) return null;
  return last === 'q_proj' ? base.num_attention_heads : base.num_key_value_heads;
}

/** Reorders rows within each head from halves, as transformers rotates them, to pairs: (rows, r) -> (rows, r). */
function pairedRows(values: Float32Array<ArrayBuffer>, r: number, heads: number): Float32Array<ArrayBuffer> {
  const rows = values.length / r;
  const headRows = rows / heads;
  const half = headRows / 2;
  const out = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) {
    const [head, at] = [Math.floor(row / headRows), row % headRows];
    const from = head * headRows + (at % 2) * half + Math.floor(at / 2);
    out.set(values.subarray(from * r, (from + 1) * r), row * r);
  }
  return out;
}

function scaled(values: Float32Array<ArrayBuffer>, factor: number): Float32Array<ArrayBuffer> {
  return factor === 1 ? values : values.map((value) => value * factor);
}

function metadataOf(name: string, config: LoraConfig, architecture: GgufArchitecture, alpha: number): GgufMetadata {
  const text = (value: string): GgufValue => ({ type: 'string', value });
  const base = config.base_model_name_or_path?.split(/[/\\]/).findLast((part) => part !== '');
  return new Map<string, GgufValue>([
    ['general.architecture', text(architecture.name)],
    ['general.type', text('adapter')],
    ['adapter.type', text('lora')],
    ['general.name', text(name)],
    ...(base === undefined
      ? []
      : ([
          ['general.base_model.count', { type: 'uint32', value: 1 }],
          ['general.base_model.0.name', text(base)],
        ] as const)),
    ['adapter.lora.alpha', { type: 'float32', value: alpha }],
    ['general.quantization_version', { type: 'uint32', value: QUANTIZATION_VERSION }],
  ]);
}
