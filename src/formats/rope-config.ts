/** The rotary embedding settings of a config.json, in the spelling of transformers 4 or 5. */

import { show } from '../config/show.ts';
import type { ConfigProblem } from '../errors.ts';
import { Fields } from './fields.ts';
import { isObject, type JsonObject } from './json.ts';

export type Llama3Rope = {
  readonly rope_type: 'llama3';
  readonly rope_theta: number;
  readonly factor: number;
  readonly low_freq_factor: number;
  readonly high_freq_factor: number;
  readonly original_max_position_embeddings: number;
};
export type YarnRope = {
  readonly rope_type: 'yarn';
  readonly rope_theta: number;
  readonly factor: number;
  readonly original_max_position_embeddings: number;
  readonly beta_fast: number;
  readonly beta_slow: number;
  /** Multiplies cos and sin. */
  readonly attention_factor: number;
  readonly truncate: boolean;
};
export type RopeParameters =
  | { readonly rope_type: 'default'; readonly rope_theta: number }
  | { readonly rope_type: 'linear'; readonly rope_theta: number; readonly factor: number }
  | Llama3Rope
  | YarnRope;
export type RopeType = RopeParameters['rope_type'];

const ROPE_TYPES: readonly RopeType[] = ['default', 'linear', 'llama3', 'yarn'];
/** Types whose frequencies change with the length of the sequence. */
const BY_LENGTH = ['dynamic', 'longrope', 'su'];

/**
 * Reads the settings: version 5 writes one `rope_parameters`, version 4 `rope_theta` beside a `rope_scaling` with `rope_type` or `type`.
 * @param json the fields of config.json, defaults filled in
 */
export function ropeParameters(json: JsonObject, fields: Fields, supported = ROPE_TYPES): RopeParameters {
  const key = json.rope_parameters === undefined || json.rope_parameters === null ? 'rope_scaling' : 'rope_parameters';
  const scaling = fields.object(key) ?? {};
  const problems: ConfigProblem[] = [];
  const inner = new Fields({ ...scaling, ...inherited(json, scaling) }, '', problems);
  const rope_theta = inner.positive('rope_theta');
  const type = scaling.rope_type ?? scaling.type ?? 'default';
  let parameters: RopeParameters = { rope_type: 'default', rope_theta };
  if (Object.values(scaling).some(isObject)) {
    inner.report('', `is ${show(scaling)}: settings by layer type are not supported, only one for all layers.`);
  } else if (!supported.includes(type as RopeType)) {
    const reason = BY_LENGTH.includes(String(type)) ? ', whose frequencies change with the length of the sequence' : '';
    inner.report('rope_type', `is ${show(type)}${reason}; supported are ${supported.join(', ')}.`);
  } else if (type === 'linear') parameters = { rope_type: type, rope_theta, factor: inner.positive('factor') };
  else if (type === 'llama3') parameters = llama3(inner, rope_theta, problems);
  else if (type === 'yarn') parameters = yarn(inner, rope_theta);
  const rotary = scaling.partial_rotary_factor ?? json.partial_rotary_factor ?? 1;
  if (rotary !== 1) inner.report('partial_rotary_factor', `is ${show(rotary)}; only 1 is supported.`);
  for (const { path, message } of problems) {
    const name = path.replace(/^: /, '');
    fields.report(placeOf(name, key, json, scaling), message);
  }
  return parameters;
}

/** Names a setting for messages: it stands in the scaling or, as transformers 4 has some, beside it. */
function placeOf(name: string, key: string, json: JsonObject, scaling: JsonObject): string {
  if (name === '') return key;
  const isBeside = (scaling[name] ?? null) === null && (json[name] ?? null) !== null;
  return isBeside ? name : `${key}.${name}`;
}

/** Collects what a scaling takes from outside it. An original length beside it wins over one inside it. */
function inherited(json: JsonObject, scaling: JsonObject): JsonObject {
  const length = json.original_max_position_embeddings ?? scaling.original_max_position_embeddings;
  return {
    rope_theta: scaling.rope_theta ?? json.rope_theta,
    original_max_position_embeddings: length ?? json.max_position_embeddings,
  };
}

function llama3(inner: Fields, rope_theta: number, problems: readonly ConfigProblem[]): Llama3Rope {
  const rope: Llama3Rope = {
    rope_type: 'llama3',
    rope_theta,
    factor: inner.positive('factor'),
    low_freq_factor: inner.positive('low_freq_factor'),
    high_freq_factor: inner.positive('high_freq_factor'),
    original_max_position_embeddings: inner.count('original_max_position_embeddings'),
  };
  const { low_freq_factor: low, high_freq_factor: high } = rope;
  if (problems.length === 0 && high <= low)
    inner.report('high_freq_factor', `is ${high}, needs more than low_freq_factor ${low}.`);
  return rope;
}

const BETA_FAST = 32;
const BETA_SLOW = 1;

function yarn(inner: Fields, rope_theta: number): YarnRope {
  const factor = inner.positive('factor');
  // transformers reads the two only together
  const [mscale, allDims] = [inner.number('mscale', 0), inner.number('mscale_all_dim', 0)];
  const byDefault =
    mscale !== 0 && allDims !== 0 ? lengthened(factor, mscale) / lengthened(factor, allDims) : lengthened(factor, 1);
  return {
    rope_type: 'yarn',
    rope_theta,
    factor,
    original_max_position_embeddings: inner.count('original_max_position_embeddings'),
    beta_fast: inner.positive('beta_fast', BETA_FAST),
    beta_slow: inner.positive('beta_slow', BETA_SLOW),
    attention_factor: inner.positive('attention_factor', byDefault),
    truncate: inner.flag('truncate', true),
  };
}

/** Computes how much larger attention scores get in a context `factor` times as long (YaRN's fit). */
function lengthened(factor: number, mscale: number): number {
  return factor <= 1 ? 1 : 0.1 * mscale * Math.log(factor) + 1;
}
