/** A dataset from standard input: read once, into memory, and kept in the run's folder, from which the run can be repeated. */
import type { ResolvedConfig } from '../../config/index.ts';
import { ConfigError } from '../../errors.ts';
import type { RowsInMemory } from '../../node/run-types.ts';
import type { CliContext } from '../shared/context.ts';
import { isStandardInput, readStandardInput, STANDARD_INPUT } from '../shared/standard-input.ts';

/** More belongs in a file, of which a run holds only the tokens. */
const MOST_BYTES = 2 ** 30;
const KEYS = ['datasets', 'eval_datasets'] as const;

type Piped = { readonly config: ResolvedConfig; readonly rows: ReadonlyMap<string, RowsInMemory> };

/**
 * Reads the dataset whose path is -, where there is one, and names it anew.
 * @throws ConfigError where two readers want standard input; as readStandardInput
 */
export async function readPipedRows(config: ResolvedConfig, context: CliContext): Promise<Piped> {
  const places = KEYS.flatMap((key) =>
    config.values[key].flatMap(({ path }, i) => (isStandardInput(path) ? [{ key, i }] : [])),
  );
  const [place, ...others] = places;
  if (place === undefined) return { config, rows: new Map() };
  const { key, i } = place;
  const isSettings = Object.values(config.origins).some(({ where }) => where.startsWith(`${STANDARD_INPUT}:`));
  const first = isSettings ? 'the settings' : `${key}[${i}]`;
  const late = isSettings ? places : others;
  if (late.length > 0)
    throw new ConfigError(
      late.map(({ key, i }) => ({
        path: `${key}[${i}].path`,
        message: `is - as well as ${first}; standard input is read once: give files for the others`,
      })),
    );
  const bytes = await readStandardInput(context, MOST_BYTES, 'a dataset');
  const named = config.values[key].map((set, at) => (at === i ? { ...set, path: STANDARD_INPUT } : set));
  return {
    config: { ...config, values: { ...config.values, [key]: named } },
    rows: new Map([[STANDARD_INPUT, { bytes, file: `rows/${key}-${i}.jsonl` }]]),
  };
}
