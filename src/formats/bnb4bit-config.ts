/** config.json of a quantized model: the given text with a quantization_config, everything else unchanged. */
import type { CheckpointQuantType } from '../wasm/types.ts';
import type { QuantStorage } from './bnb4bit-write.ts';
import type { TorchFloat } from './dtype.ts';
import { parseObject, stringEnd } from './json.ts';

/** Fields of transformers' BitsAndBytesConfig for a 4-bit model; the checkpoint itself holds block sizes. */
export type BnbConfig = {
  readonly bnb_4bit_compute_dtype: TorchFloat;
  readonly bnb_4bit_quant_storage: QuantStorage;
  readonly bnb_4bit_quant_type: CheckpointQuantType;
  readonly bnb_4bit_use_double_quant: boolean;
  readonly llm_int8_skip_modules: readonly string[] | null;
};

/**
 * Adds to `text` (a config.json) the quantization_config that transformers would write, in its place if the keys are
 * sorted. Numbers keep their spelling: 1e-05 and 10000.0 are Python's, and JavaScript would write 0.00001 and 10000.
 * @param dtype the type of the weights, where it was changed
 * @throws DataError when the text is no JSON object
 */
export function quantizedConfig(text: string, config: BnbConfig, dtype: TorchFloat | null, file: string): string {
  const given = withDtype(text, dtype, file);
  setMember(given, 'quantization_config', bnbConfigJson(config));
  return formatted(given);
}

/** Takes the quantization_config out of `text`. @param dtype the type of the weights, where it was changed */
export function denseConfig(text: string, dtype: TorchFloat | null, file: string): string {
  return formatted(withDtype(text, dtype, file));
}

function withDtype(text: string, dtype: TorchFloat | null, file: string): Map<string, string> {
  parseObject(text, file);
  const given = new Map(members(text));
  given.delete('quantization_config');
  // transformers 5 writes `dtype`, 4 wrote `torch_dtype`
  if (dtype !== null && (given.has('dtype') || !given.has('torch_dtype'))) setMember(given, 'dtype', `"${dtype}"`);
  if (dtype !== null && given.has('torch_dtype')) setMember(given, 'torch_dtype', `"${dtype}"`);
  return given;
}

function formatted(members: ReadonlyMap<string, string>): string {
  const rows = [...members].map(([key, value]) => `  ${JSON.stringify(key)}: ${value}`);
  return `{\n${rows.join(',\n')}\n}\n`;
}

/** Sets a member: where it is, else before the first larger key if the keys are sorted, else at the end. */
function setMember(members: Map<string, string>, key: string, value: string): void {
  const keys = [...members.keys()];
  const isSorted = keys.every((other, i) => i === 0 || (keys[i - 1] as string) < other);
  const after = members.has(key) || !isSorted ? [] : [...members].filter(([other]) => other > key);
  for (const [other] of after) members.delete(other);
  members.set(key, value);
  for (const [other, kept] of after) members.set(other, kept);
}

/** Formats transformers' dictionary as json.dumps(indent=2, sort_keys=True) does, one level in. */
function bnbConfigJson(config: BnbConfig): string {
  const skips = config.llm_int8_skip_modules;
  const list = skips?.map((skip) => `      ${asciiJson(skip)}`).join(',\n');
  const fields = {
    _load_in_4bit: 'true',
    _load_in_8bit: 'false',
    bnb_4bit_compute_dtype: `"${config.bnb_4bit_compute_dtype}"`,
    bnb_4bit_quant_storage: `"${config.bnb_4bit_quant_storage}"`,
    bnb_4bit_quant_type: `"${config.bnb_4bit_quant_type}"`,
    bnb_4bit_use_double_quant: String(config.bnb_4bit_use_double_quant),
    llm_int8_enable_fp32_cpu_offload: 'false',
    llm_int8_has_fp16_weight: 'false',
    llm_int8_skip_modules: list === undefined ? 'null' : list === '' ? '[]' : `[\n${list}\n    ]`,
    // transformers refuses an integer here
    llm_int8_threshold: '6.0',
    load_in_4bit: 'true',
    load_in_8bit: 'false',
    quant_method: '"bitsandbytes"',
  };
  const rows = Object.entries(fields).map(([key, value]) => `    "${key}": ${value}`);
  return `{\n${rows.join(',\n')}\n  }`;
}

/** Formats a JSON string as Python does: all but ASCII in escapes. */
function asciiJson(text: string): string {
  return JSON.stringify(text).replaceAll(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** Lists the members of the outermost object, their values as they are written. `text` is known to be an object. */
function members(text: string): [key: string, value: string][] {
  const found: [string, string][] = [];
  let at = skipSpace(text, 0) + 1;
  for (;;) {
    at = skipSpace(text, at);
    if (text[at] !== '"') return found;
    const keyEnd = valueEnd(text, at);
    const begin = skipSpace(text, skipSpace(text, keyEnd) + 1);
    const end = valueEnd(text, begin);
    found.push([JSON.parse(text.slice(at, keyEnd)) as string, text.slice(begin, end)]);
    at = skipSpace(text, end) + 1;
  }
}

function skipSpace(text: string, from: number): number {
  let at = from;
  while (/\s/.test(text[at] ?? '')) at++;
  return at;
}

/** Finds the end (exclusive) of the value that begins at `from`. */
function valueEnd(text: string, from: number): number {
  let depth = 0;
  for (let at = from; at < text.length; at++) {
    const c = text[at] as string;
    if (c === '"') at = stringEnd(text, at) - 1;
    else if (c === '{' || c === '[') depth++;
    else if (c === '}' || c === ']') depth--;
    else if (depth === 0 && (c === ',' || /\s/.test(c))) return at;
    if (depth < 0) return at;
    if (depth === 0 && /["}\]]/.test(c)) return at + 1;
  }
  return text.length;
}
