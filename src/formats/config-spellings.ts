/** Fields of config.json that say one thing twice: a file in which the two disagree is refused, whichever transformers would take. */

import { show } from '../config/show.ts';
import type { Fields } from './fields.ts';
import { isObject, type JsonObject } from './json.ts';

/** Two places of one value; a dot leads into an object. */
type Pair = readonly [a: string, b: string];

/** Settings of rotary embeddings that a file has inside its object, beside it, or both. */
const ROPE_BESIDE = ['rope_theta', 'partial_rotary_factor'];
const ROPE_OBJECTS = ['rope_parameters', 'rope_scaling'];

/** Reports every pair of spellings that disagrees. @param json as it was given, without defaults */
export function reportDisagreements(json: JsonObject, fields: Fields): void {
  for (const [a, b] of pairs(json)) {
    const [first, second] = [valueAt(json, a), valueAt(json, b)];
    if (first === null || second === null || JSON.stringify(first) === JSON.stringify(second)) continue;
    fields.report(
      a,
      `is ${show(first)}, and ${b}, its other spelling, is ${show(second)}. Keep the one that is meant.`,
    );
  }
}

function pairs(json: JsonObject): Pair[] {
  const inside = (object: string): string[] => Object.keys(isObject(json[object]) ? json[object] : {});
  return [
    ['dtype', 'torch_dtype'],
    ...ROPE_OBJECTS.flatMap((object) => ROPE_BESIDE.map((key): Pair => [`${object}.${key}`, key])),
    ...ROPE_OBJECTS.map((object): Pair => [`${object}.rope_type`, `${object}.type`]),
    ['rope_parameters.rope_type', 'rope_scaling.type'],
    ['rope_parameters.type', 'rope_scaling.rope_type'],
    ...inside('rope_parameters').map((key): Pair => [`rope_parameters.${key}`, `rope_scaling.${key}`]),
    ...['load_in_4bit', 'load_in_8bit'].map(
      (key): Pair => [`quantization_config.${key}`, `quantization_config._${key}`],
    ),
  ];
}

/** null counts as absent. */
function valueAt(json: JsonObject, path: string): unknown {
  const [outer = '', inner] = path.split('.');
  const value = json[outer] ?? null;
  if (inner === undefined) return value;
  return isObject(value) ? (value[inner] ?? null) : null;
}
