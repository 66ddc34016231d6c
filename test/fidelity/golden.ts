/** The golden files of test/golden/architectures, and the table of architectures that are held against them. */
import { readFileSync } from 'node:fs';
import path from 'node:path';

export const ARCHITECTURES = [
  'llama',
  'llama-tied',
  'llama-biased',
  'mistral',
  'qwen2',
  'qwen3',
  'gemma',
  'phi3',
  'smollm3',
  'olmo2',
] as const;
export type Name = (typeof ARCHITECTURES)[number];

/** What is trained, in the folder of the base it is trained on. */
export const METHODS = { lora: 'dense', qlora: 'bnb-4bit' } as const;
export type Method = keyof typeof METHODS;
export type Form = (typeof METHODS)[Method];

export type Curve = { readonly loss: readonly number[]; readonly grad_norm: readonly number[] };
type Expected = Record<Method, Curve> & {
  readonly shows: string;
  readonly logits: Record<Form, { readonly shape: [B: number, S: number, V: number]; readonly max_abs_logit: number }>;
};
export type Step = { readonly input_ids: number[][]; readonly labels: number[][]; readonly learning_rate: number };
type Tokens = {
  readonly input_ids: number[][];
  readonly config: Readonly<Record<string, number | string>>;
  readonly steps: readonly Step[];
};

/** Values by tensor name. */
export type Tensors = ReadonlyMap<string, Float32Array>;

const ROOT = new URL('../golden/architectures/', import.meta.url).pathname;

const json = (...parts: string[]) => JSON.parse(readFileSync(path.join(ROOT, ...parts), 'utf8'));

export const tokens = json('tokens.json') as Tokens;
export const pythonVersions = json('versions.json') as Readonly<Record<string, string>>;

export const expected = (name: Name): Expected => json(name, 'expected.json') as Expected;

export const folder = (name: Name, part: Form | 'adapter-init'): string => path.join(ROOT, name, part);

/** (B, S, V) row-major. */
export function expectedLogits(name: Name, form: Form): Float32Array {
  const bytes = readFileSync(path.join(ROOT, name, `logits-${form}.bin`));
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
}

/** The adapter that both methods start from, and what PEFT made of it in 50 steps; by their names in PEFT's files. */
export function adapters(name: Name, method: Method): { readonly initial: Tensors; readonly final: Tensors } {
  return {
    initial: readF32(path.join(ROOT, name, 'adapter-init', 'adapter_model.safetensors')),
    final: readF32(path.join(ROOT, name, `adapter-${method}.safetensors`)),
  };
}

/** A safetensors file of f32 tensors, read without nibble's own reader: the reference should not depend on it. */
function readF32(file: string): Tensors {
  const bytes = readFileSync(file);
  const start = 8 + Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, start)) as Record<
    string,
    { dtype: string; data_offsets: [number, number] }
  >;
  const found = new Map<string, Float32Array>();
  for (const [name, { dtype, data_offsets }] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    if (dtype !== 'F32') throw new Error(`${file}: ${name} is ${dtype}, needs F32`);
    const [from, to] = data_offsets.map((offset) => bytes.byteOffset + start + offset) as [number, number];
    found.set(name, new Float32Array(bytes.buffer.slice(from, to)));
  }
  return found;
}
