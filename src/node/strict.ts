/** strict: true. A run about which there is advice, or which would not follow a setting as it is written, is refused. */
import type { ResolvedConfig } from '../config/index.ts';
import { wasSet } from '../config/index.ts';
import type { RowNote } from '../data/example.ts';
import { ConfigError, type ConfigProblem } from '../errors.ts';
import { type Advice, problemOf } from '../train/advice.ts';
import { ROW_NOTES } from './run-notes.ts';

type Said = {
  /** What the device decides of compute_dtype, in words. */
  readonly dtypeNotes: readonly string[];
  readonly rowNotes: ReadonlyMap<RowNote, number>;
  readonly advice: readonly Advice[];
};

/** @throws ConfigError with all of it at once, where `strict` is set */
export function requireStrict(config: ResolvedConfig, { dtypeNotes, rowNotes, advice }: Said): void {
  if (!config.values.strict) return;
  const problems: ConfigProblem[] = [
    ...config.notices.filter(({ isFollowed = false }) => !isFollowed),
    ...dtypeNotes.map((message) => ({ path: 'bf16_as', message })),
    ...unfollowed(config, rowNotes),
    ...advice.map(problemOf),
  ];
  if (problems.length === 0) return;
  throw new ConfigError(problems.map(({ path, message }) => ({ path, message: `${message} (strict)` })));
}

/** Settings that rows cannot follow. */
function unfollowed(config: ResolvedConfig, notes: ReadonlyMap<RowNote, number>): ConfigProblem[] {
  const settings = { noCompletion: 'completion_only_loss', lacksEos: 'append_eos' } as const;
  return (['noCompletion', 'lacksEos'] as const).flatMap((what) => {
    const rows = notes.get(what) ?? 0;
    const path = settings[what];
    return rows > 0 && wasSet(config, path)
      ? [{ path, message: `has no effect on ${rows} rows ${ROW_NOTES[what]}` }]
      : [];
  });
}
