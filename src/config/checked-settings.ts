/** Settings of the commands beside training, which come from flags or from a program alone: checked, with their defaults. */
import type { z } from 'zod';
import { ConfigError, type ConfigProblem } from '../errors.ts';
import { typeProblems, unknownKey } from './describe.ts';

/**
 * Checks settings by their schema and fills in defaults; undefined counts as left out. `whereOf` names the source of a setting.
 * @throws ConfigError with all that is wrong, and with `found` before it
 */
export function checkedSettings<T extends z.ZodRawShape>(
  schema: z.ZodObject<T>,
  given: Readonly<Record<string, unknown>>,
  whereOf: (key: string) => string,
  found: readonly ConfigProblem[],
): z.output<z.ZodObject<T>> {
  const { shape } = schema;
  const set = Object.entries(given).filter(([, value]) => value !== undefined);
  const wrong = set.flatMap(([key, value]) =>
    Object.hasOwn(shape, key)
      ? typeProblems(shape[key] as unknown as z.ZodType, value, key, () => whereOf(key))
      : [unknownKey(key, key, Object.keys(shape), whereOf(key))],
  );
  if (found.length + wrong.length > 0) throw new ConfigError([...found, ...wrong]);
  return schema.parse(Object.fromEntries(set));
}
