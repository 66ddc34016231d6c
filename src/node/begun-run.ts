/** What a folder holds of a run, for one that nobody attends: whether to begin, to go on, or to do nothing any more. */
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type DatasetSource,
  loadTrainConfig,
  type ResolvedConfig,
  type SettingKey,
  settingKeys,
  wasSet,
} from '../config/index.ts';
import { show } from '../config/show.ts';
import { ConfigError } from '../errors.ts';
import { parseHubName } from '../formats/hub-cache.ts';
import { canonicalJson } from '../results/identity.ts';
import { withAdapterSettings } from '../train/adapter-settings.ts';
import { INTERRUPTED_FILE } from '../train/interruption.ts';
import { FolderInUse, removeStale, SILENT_MS } from './claim.ts';
import { withDatasetFiles } from './dataset-files.ts';
import { nodeReader } from './files.ts';
import { hubNames, namesOf } from './hub-inputs.ts';
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
  ...(['strict', 'report_to', 'logging_dir', 'offline'] as const),
];
const MODEL_REVISION: SettingKey = 'model_revision';
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
  const given = await withDatasetFiles(asked);
  const onHub = await hubNames(namesOf(given.values));
  const hasHubAdapter = onHub.has(given.values.adapter_name_or_path ?? '');
  const now = hasHubAdapter ? given : await withAdapterSettings(given, nodeReader);
  const absolute = withAbsolutePaths(now, { has: (name) => rows.has(name) || onHub.has(name) });
  const free = [
    ...FREE,
    ...(now.values.float16_if_possible ? OF_DEVICE : []),
    // the folder names the commit that a name on the hub stood for
    ...(onHub.has(now.values.model_name_or_path) && !wasSet(now, 'model_revision') ? [MODEL_REVISION] : []),
    // what an adapter decides is known once it is fetched
    ...(hasHubAdapter ? settingKeys.filter((key) => !wasSet(now, key)) : []),
  ];
  requireSame(folder, then, pathsInFolder(absolute, rows), { free, onHub });
  const has = (name: string): Promise<boolean> =>
    stat(path.join(folder, name)).then(
      () => true,
      () => false,
    );
  return (await has(RECORD_FILE)) && !(await has(INTERRUPTED_FILE)) ? 'finished' : 'begun';
}

type Allowed = { readonly free: readonly SettingKey[]; readonly onHub: ReadonlySet<string> };

function requireSame(folder: string, then: ResolvedConfig, now: ResolvedConfig, { free, onHub }: Allowed): void {
  const text = (value: unknown, key: SettingKey): string =>
    canonicalJson(withoutCommits(value, now.values[key], onHub));
  const changed = settingKeys.filter(
    (key) => !free.includes(key) && text(then.values[key], key) !== text(now.values[key], key),
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

/**
 * Leaves of names on the hub what `asked` says of them: a folder names commits and parts in full. Whether the content is the same,
 * a run that goes on finds out.
 */
function withoutCommits(value: unknown, asked: unknown, onHub: ReadonlySet<string>): unknown {
  if (typeof value === 'string' && typeof asked === 'string' && onHub.has(asked)) return parseHubName(value)?.id;
  if (!Array.isArray(value) || !Array.isArray(asked)) return value;
  return value.map((set: unknown, i) => {
    const own = asked[i] as DatasetSource | undefined;
    if (typeof own !== 'object' || !onHub.has(own.path)) return set;
    const said = Object.entries(set as DatasetSource).filter(([key]) => key in own && key !== 'revision');
    return { ...Object.fromEntries(said), path: parseHubName((set as DatasetSource).path)?.id };
  });
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
