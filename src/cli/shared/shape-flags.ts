/** Flags for the settings of one command, from the shape that checks them. */
import type { z } from 'zod';
import { inWords, schemaOf } from '../../config/describe.ts';
import { valueOfText } from '../../config/text-value.ts';

type Shape = Readonly<Record<string, z.ZodType>>;

/** Lists flag, argument and help of each setting. @param words what to call a value where its type says too little */
export function shapeFlags(shape: Shape, words: Readonly<Record<string, string>> = {}) {
  return Object.entries(shape).map(([key, type]) => {
    const schema = schemaOf(type);
    const argument = schema.type === 'boolean' ? '[true|false]' : '<value>';
    const wanted = words[key] ?? inWords(schema);
    return {
      flag: `--${key} ${argument}`,
      help: `${schema.description} (${wanted}; default ${JSON.stringify(schema.default)})`,
    };
  });
}

/** Reads the settings among parsed options; what was not given is not there. */
export function shapeValues(shape: Shape, options: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(shape).flatMap(([key, type]) =>
      options[key] === undefined ? [] : [[key, valueOfText(String(options[key]), type)] as const],
    ),
  );
}
