/** What an adapter is, out of its own files: targets, ranks, scalings, and how large its updates are. */
import { show } from '../config/show.ts';
import { DataError } from '../errors.ts';
import { openSafetensors } from '../formats/checkpoint.ts';
import type { Module } from '../formats/modules.ts';
import { type FileReader, place } from '../formats/reader.ts';
import { type AdapterBase, lastSegment } from './base.ts';
import { ADAPTER_FILE } from './files.ts';
import { EMBEDDING_A, EMBEDDING_B, KEY_PREFIX, LORA_A, LORA_B } from './layout.ts';
import type { LoraTarget } from './match.ts';
import type { StartValues } from './start-values.ts';
import { TOKENS } from './tokens.ts';

/** A target's name and one of its two matrices in a key, with or without the name of the adapter in memory. */
const PAIR =
  /^base_model\.model\.(.+)\.(lora_A|lora_B|lora_embedding_A|lora_embedding_B)(?:\.(?!bias$)[^.]+)??(?:\.weight)?$/;

/**
 * A base as an adapter's file shows it: the modules that it adapts or holds, in the file's order. For reading the adapter where no model
 * is at hand. @throws DataError where one matrix of a pair is missing
 */
export async function baseFromFile(reader: FileReader): Promise<AdapterBase> {
  const source = await openSafetensors(reader, ADAPTER_FILE);
  const pairs = new Map<string, { A?: readonly number[]; B?: readonly number[]; isEmbedding: boolean }>();
  const modules = new Map<string, Module>();
  for (const key of source.names()) {
    const { shape } = source.info(key);
    const [, name, part = ''] = PAIR.exec(key) ?? [];
    if (name === undefined) {
      const whole = tokenModule(key, shape) ?? wholeModule(key, shape);
      if (whole !== null && !modules.has(whole.name)) modules.set(whole.name, whole);
      continue;
    }
    const pair = pairs.get(name) ?? { isEmbedding: part.includes('embedding') };
    pairs.set(name, { ...pair, [part.endsWith('A') ? 'A' : 'B']: shape });
  }
  for (const [name, { A, B, isEmbedding }] of pairs) {
    const [aIn, bOut] = [A?.[1], B?.[0]];
    if (aIn === undefined || bOut === undefined)
      throw new DataError(place(reader, ADAPTER_FILE), `${name} has one matrix of its pair. Save the adapter anew.`);
    // an embedding's A is (r, tokens), its B (hidden size, r)
    const sizes = isEmbedding ? { out: aIn, in: bOut } : { out: bOut, in: aIn };
    const kind = isEmbedding ? 'embedding' : 'linear';
    const bias = source.has(`${KEY_PREFIX}${name}.base_layer.bias`);
    modules.set(name, kind === 'linear' ? { kind, name, ...sizes, bias } : { kind, name, ...sizes });
  }
  const listed = [...modules.values()].sort((a, b) => inNumberOrder(a.name, b.name));
  const ending = (end: string): string => listed.find(({ name }) => lastSegment(name) === end)?.name ?? end;
  const endings = [...new Set([...pairs.keys()].map(lastSegment))];
  return {
    modules: listed,
    inputEmbedding: ending('embed_tokens'),
    outputEmbedding: ending('lm_head'),
    tied: false,
    defaultTargets: endings,
  };
}

/** A module of which rows of tokens are saved; how many it has is not known here. */
function tokenModule(key: string, shape: readonly number[]): Module | null {
  if (!key.startsWith(KEY_PREFIX) || !key.includes(`.${TOKENS}`)) return null;
  const name = key.slice(KEY_PREFIX.length, key.indexOf(`.${TOKENS}`));
  const sizes = { name, out: Number.POSITIVE_INFINITY, in: shape[1] ?? 0 };
  return lastSegment(name) === 'lm_head' ? { kind: 'linear', ...sizes, bias: false } : { kind: 'embedding', ...sizes };
}

/** A module that is saved whole, or whose bias is: null for parts of a pair, such as magnitudes. */
function wholeModule(key: string, shape: readonly number[]): Module | null {
  const [, name, parameter] = /^base_model\.model\.(.+?)(?:\.base_layer)?\.(weight|bias)$/.exec(key) ?? [];
  if (name === undefined || key.includes('.lora_')) return null;
  const [out = 0, width] = shape;
  if (parameter === 'bias') return { kind: 'linear', name, out, in: 0, bias: true };
  if (width === undefined) return { kind: 'norm', name, width: out };
  return lastSegment(name) === 'embed_tokens'
    ? { kind: 'embedding', name, out, in: width }
    : { kind: 'linear', name, out, in: width, bias: false };
}

/** Layer 2 before layer 10. */
function inNumberOrder(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}

/** Frobenius norm of a target's update, scaling * B A, in f64 and without the product: the trace of (A A^T) (B^T B). */
export function updateNorm({ name, kind, rank: r, scaling }: LoraTarget, values: StartValues): number {
  const isEmbedding = kind === 'embedding';
  const of = (suffix: string): Float32Array => {
    const found = values.get(`${name}.${suffix}`);
    if (found === undefined) throw new DataError(name, `has no ${show(suffix)}`);
    return found;
  };
  // an embedding's A is held (tokens, r)
  const gramA = isEmbedding ? gramInner(of(EMBEDDING_A), r) : gramOuter(of(LORA_A), r);
  const gramB = gramInner(of(isEmbedding ? EMBEDDING_B : LORA_B), r);
  let sum = 0;
  for (let i = 0; i < r * r; i++) sum += (gramA[i] as number) * (gramB[i] as number);
  return Math.abs(scaling) * Math.sqrt(Math.max(0, sum));
}

/** M M^T of (r, n). */
function gramOuter(values: Float32Array, r: number): Float64Array {
  const n = values.length / r;
  const out = new Float64Array(r * r);
  for (let i = 0; i < r; i++)
    for (let j = 0; j < r; j++) {
      let sum = 0;
      for (let k = 0; k < n; k++) sum += (values[i * n + k] as number) * (values[j * n + k] as number);
      out[i * r + j] = sum;
    }
  return out;
}

/** M^T M of (n, r). */
function gramInner(values: Float32Array, r: number): Float64Array {
  const out = new Float64Array(r * r);
  for (let k = 0; k < values.length; k += r)
    for (let i = 0; i < r; i++)
      for (let j = 0; j < r; j++)
        out[i * r + j] = (out[i * r + j] as number) + (values[k + i] as number) * (values[k + j] as number);
  return out;
}
