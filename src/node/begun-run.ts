/** What a folder holds of a run, for one that nobody attends: whether to begin, to go on, or to do nothing any more. */
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadTrainConfig, type ResolvedConfig, type SettingKey, settingKeys } from '../config/index.ts';
import { show } from '../config/show.ts';
import { ConfigError } from '../errors.ts';
import { canonicalJson } from '../results/identity.ts';
import { withAdapterSettings } from '../train/adapter-settings.ts';
import { INTERRUPTED_FILE } from '../train/run.ts';
import { FolderInUse, removeStale, SILENT_MS } from './claim.ts';
import { withDatasetFiles } from './dataset-files.ts';
import { nodeReader } from './files.ts';
import { withAbsolutePaths } from './inputs.ts';
import { processSpace } from './process-identity.ts';
import { readRegular } from './regular-file.ts';
import { CONFIG_FILE, RECORD_FILE } from './run-folder.ts';
import { pathsInFolder } from './run-rows.ts';
import type { RowsInMemory } from './run-types.ts';

/** `begun` did not come to its end: it was stopped, killed, or is being written by another process. */
export type RunStanding = 'none' | 'begun' | 'finished';

/** Settings with which a run is the same one. */
const FREE: readonly SettingKey[] = [
  ...(['output_dir', 'resume_from_checkpoint', 'max_minutes', 'max_gpu_memory'] as const),
  ...(['strict', 'report_to', 'logging_dir'] as const),
];
/** Settings that the device decides where a configuration leaves them to it. */
const OF_DEVICE: readonly SettingKey[] = ['compute_dtype', 'bnb_4bit_compute_dtype', 'bf16_as'];

/**
 * Tells how far the run of this configuration is in its output_dir. Settings are compared, not the content of files: a run that
 * goes on compares that itself.
 * @throws ConfigError where the folder holds the run of another configuration; as requireInputs for datasets
 */
export async function standingOf(
  asked: ResolvedConfig,
  rows: ReadonlyMap<string, RowsInMemory> = new Map(),
): Promise<RunStanding> {
  const folder = path.resolve(asked.values.output_dir);
  const text = await readRegular(path.join(folder, CONFIG_FILE)).catch(() => null);
  if (text === null) return 'none';
  const then = loadTrainConfig({ file: { path: path.join(folder, CONFIG_FILE), text: text.toString('utf8') } });
  const now = await withAdapterSettings(await withDatasetFiles(asked), nodeReader);
  requireSame(folder, then, pathsInFolder(withAbsolutePaths(now, rows), rows));
  const has = (name: string): Promise<boolean> =>
    stat(path.join(folder, name)).then(
      () => true,
      () => false,
    );
  return (await has(RECORD_FILE)) && !(await has(INTERRUPTED_FILE)) ? 'finished' : 'begun';
}

function requireSame(folder: string, then: ResolvedConfig, now: ResolvedConfig): void {
  const free = now.values.float16_if_possible ? [...FREE, ...OF_DEVICE] : FREE;
  const changed = settingKeys.filter(
    (key) => !free.includes(key) && canonicalJson(then.values[key]) !== canonicalJson(now.values[key]),
  );
  if (changed.length === 0) return;
  throw new ConfigError(
    changed.map((key) => ({
      path: key,
      message:
        `got ${show(now.values[key])}, and the run in ${folder} has ${show(then.values[key])}: unattended, a run goes on as it ` +
        `began. Give another output_dir, or decide yourself, without --unattended (${now.origins[key].where})`,
    })),
  );
}

const POLL_MS = 2_000;

type Waiting = {
  readonly signal: AbortSignal;
  readonly note: (text: string) => void;
  /** Injected by tests, like `pollMs`. */
  readonly limitMs?: number;
  readonly pollMs?: number;
};

/**
 * Waits while a process of another container or machine seems to write the folder: one that was killed gives no sign any more,
 * and after a while its claim is stale. Ends without a word where it still writes then; who takes the folder says so.
 */
export async function waitForClaim(
  directory: string,
  { signal, note, limitMs = SILENT_MS + POLL_MS, pollMs = POLL_MS }: Waiting,
): Promise<void> {
  const endMs = performance.now() + limitMs;
  for (let isTold = false; ; isTold = true) {
    const holder = await otherHolder(directory);
    if (holder === null) return;
    const seconds = Math.ceil(limitMs / 1000);
    if (!isTold) note(`${directory} was being written on ${holder}; if that was killed, this is known in ${seconds} s`);
    if (performance.now() >= endMs) return;
    await sleep(pollMs, undefined, { signal });
  }
}

/** Host of the claim of another container or machine; null where there is none, or it is stale and so removed. */
async function otherHolder(directory: string): Promise<string | null> {
  try {
    await removeStale(directory);
    return null;
  } catch (error) {
    if (!(error instanceof FolderInUse)) throw error;
    const { claim } = error;
    return claim === null || claim.space === processSpace() ? null : claim.host;
  }
}
