/** The rotary embedding settings of a config.json, in the spelling of transformers 4 or 5. */
import type { ConfigProblem } from '../errors.ts';
import { Fields } from './fields.ts';
import { isObject, type JsonObject, show } from './json.ts';

export type RopeParameters =
  | { readonly rope_type: 'default'; readonly rope_theta: number }
  | {
      readonly rope_type: 'llama3';
      readonly rope_theta: number;
      readonly factor: number;
      readonly low_freq_factor: number;
      readonly high_freq_factor: number;
      readonly original_max_position_embeddings: number;
    };

export const ROPE_TYPES = ['default', 'llama3'] as const;
const DEFAULT_THETA = 10_000;

/** Version 5 writes one `rope_parameters`; version 4 `rope_theta` beside a `rope_scaling` with `rope_type` or `type`. */
export function ropeParameters(json: JsonObject, fields: Fields): RopeParameters {
  const key = json.rope_parameters === undefined || json.rope_parameters === null ? 'rope_scaling' : 'rope_parameters';
  const scaling = fields.object(key) ?? {};
  const theta = scaling.rope_theta ?? json.rope_theta ?? DEFAULT_THETA;
  const problems: ConfigProblem[] = [];
  const inner = new Fields({ ...scaling, rope_theta: theta }, '', problems);
  const rope_theta = inner.positive('rope_theta');
  const type = scaling.rope_type ?? scaling.type ?? 'default';
  let parameters: RopeParameters = { rope_type: 'default', rope_theta };
  if (Object.values(scaling).some(isObject)) {
    inner.report('', `is ${show(scaling)}: settings by layer type are not supported, only one for all layers.`);
  } else if (type === 'llama3') {
    parameters = {
      rope_type: 'llama3',
      rope_theta,
      factor: inner.positive('factor'),
      low_freq_factor: inner.positive('low_freq_factor'),
      high_freq_factor: inner.positive('high_freq_factor'),
      original_max_position_embeddings: inner.count('original_max_position_embeddings'),
    };
    if (problems.length === 0 && parameters.high_freq_factor <= parameters.low_freq_factor) {
      inner.report(
        'high_freq_factor',
        `is ${parameters.high_freq_factor}, needs more than low_freq_factor ${parameters.low_freq_factor}.`,
      );
    }
  } else if (type !== 'default') {
    inner.report('rope_type', `is ${show(type)}; supported are ${ROPE_TYPES.join(', ')}.`);
  }
  const rotary = scaling.partial_rotary_factor ?? json.partial_rotary_factor ?? 1;
  if (rotary !== 1) inner.report('partial_rotary_factor', `is ${show(rotary)}; only 1 is supported.`);
  for (const { path, message } of problems) {
    const name = path.replace(/^: /, '');
    fields.report(name === '' ? key : `${key}.${name}`, message);
  }
  return parameters;
}
