/** A run that nobody attends, as in a container: started again on the same folder, it goes on by itself, and ends once. */
import { type ResolvedConfig, wasSet, withValues } from '../../config/index.ts';
import { standingOf, waitForClaim } from '../../node/begun-run.ts';
import type { RowsInMemory } from '../../node/run-types.ts';

type Attempt = {
  readonly rows: ReadonlyMap<string, RowsInMemory>;
  readonly signal: AbortSignal;
  readonly note: (text: string) => void;
};

/**
 * Decides whether the run begins or goes on; null where it is finished.
 * @throws ConfigError where output_dir holds the run of another configuration
 */
export async function whatIsLeft(
  config: ResolvedConfig,
  { rows, ...waiting }: Attempt,
): Promise<ResolvedConfig | null> {
  const { output_dir, resume_from_checkpoint } = config.values;
  await waitForClaim(output_dir, waiting);
  const standing = await standingOf(config, rows);
  if (standing === 'finished') return null;
  const refuses = resume_from_checkpoint === false && wasSet(config, 'resume_from_checkpoint');
  if (standing === 'none' || refuses) return config;
  return withValues(config, { resume_from_checkpoint: true }, { source: 'flag', where: '--unattended' });
}
