/** What a suite will run, before anything runs: inputs fetched, settings resolved, and the identity of every run. */
import path from 'node:path';
import { type ResolvedConfig, type TrainConfig, wasSet, withValues } from '../config/index.ts';
import { ConfigError, type ConfigProblem } from '../errors.ts';
import { withDatasetFiles } from '../node/dataset-files.ts';
import { nodeReader } from '../node/files.ts';
import { type HubEvent, hubAccess } from '../node/hub-access.ts';
import { fetchInputs, hubNames, namesOf } from '../node/hub-inputs.ts';
import type { Snapshot } from '../node/hub-snapshot.ts';
import { requireInputs } from '../node/inputs.ts';
import { type Material, readMaterial } from '../node/material.ts';
import { identityOf } from '../node/record.ts';
import { withAdapterSettings } from '../train/adapter-settings.ts';
import { resolveBuiltins } from './builtin.ts';
import { type NamedInput, publicNames } from './inputs.ts';
import type { Turn } from './turns.ts';

/** A run with its settings, as the process that makes it gets them. */
export type PlannedRun = Turn & {
  readonly config: ResolvedConfig;
  /** Identity of what is asked for: a record that has it need not be made again. */
  readonly planId: string;
  /** What the record calls what the run reads, and its folder. */
  readonly names: Partial<TrainConfig>;
};

type Surroundings = {
  readonly directory: string;
  readonly inputs: readonly NamedInput[];
  readonly signal: AbortSignal;
  readonly onEvent: (event: HubEvent) => void;
};

/**
 * Settles the settings of every run and hashes what they name. Files shared by runs are read once.
 * @throws ConfigError with all that is missing, before anything runs; DataError
 */
export async function planRuns(turns: readonly Turn[], surroundings: Surroundings): Promise<PlannedRun[]> {
  await requireAllInputs(turns, surroundings.directory);
  const fetched = new Map<ResolvedConfig, Promise<Fetched>>();
  const materials = new Map<string, Promise<Material>>();
  const planned: PlannedRun[] = [];
  for (const turn of turns) {
    const { config } = turn.arm;
    fetched.set(config, fetched.get(config) ?? fetchOnce(config, surroundings));
    const { named, local, snapshots } = await fetched.get(config)!;
    const own = await runConfig(named, turn, surroundings.directory);
    const there = await runConfig(local, turn, surroundings.directory);
    const names = publicNames(named.values, surroundings.inputs, `${RUNS_FOLDER}/${turn.name}`);
    planned.push({ ...turn, config: own, names, planId: await planIdOf(turn, there, snapshots, materials) });
  }
  return planned;
}

type Fetched = {
  /** With names on the hub at the commit that was fetched: a branch may move between two runs. */
  readonly named: ResolvedConfig;
  /** With the folders of this machine in their place. */
  readonly local: ResolvedConfig;
  readonly snapshots: readonly Snapshot[];
};

async function fetchOnce(config: ResolvedConfig, { signal, onEvent }: Surroundings): Promise<Fetched> {
  const hub = () => hubAccess({ offline: config.values.offline, signal, onEvent });
  const { names, config: local, snapshots } = await fetchInputs(config, hub, 'model');
  return { named: { ...config, values: { ...config.values, ...names } }, local, snapshots };
}

async function planIdOf(
  turn: Turn,
  config: ResolvedConfig,
  snapshots: readonly Snapshot[],
  materials: Map<string, Promise<Material>>,
): Promise<string> {
  const withFiles = await withDatasetFiles(config);
  const { values } = await withAdapterSettings(withFiles, nodeReader).catch(() => withFiles);
  const { model_name_or_path, adapter_name_or_path, datasets, eval_datasets, chat_template_path } = values;
  const key = JSON.stringify([model_name_or_path, adapter_name_or_path, datasets, eval_datasets, chat_template_path]);
  materials.set(key, materials.get(key) ?? readMaterial(values, undefined, snapshots));
  return identityOf({ arm: turn.arm.name, case: turn.case }, values, await materials.get(key)!);
}

/** Finds missing files before the first run, since they would fail every run that names them. @throws ConfigError */
async function requireAllInputs(turns: readonly Turn[], directory: string): Promise<void> {
  const problems = new Map<string, ConfigProblem>();
  const seen = new Set<ResolvedConfig>();
  for (const turn of turns) {
    const { config } = turn.arm;
    if (seen.has(config)) continue;
    seen.add(config);
    try {
      const first = await runConfig(config, turn, directory);
      await requireInputs(first, await hubNames(namesOf(first.values)));
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      for (const problem of error.problems) problems.set(`${problem.path}: ${problem.message}`, problem);
    }
  }
  if (problems.size > 0) throw new ConfigError([...problems.values()]);
}

/** Sets what the suite decides for a run, and replaces `builtin:` names by files of the suite's folder. */
async function runConfig(config: ResolvedConfig, { name, seed }: Turn, directory: string): Promise<ResolvedConfig> {
  const { config: resolved } = await resolveBuiltins(config.values, path.join(directory, 'data'));
  const { model_name_or_path, datasets, eval_datasets } = resolved;
  const output_dir = path.join(directory, RUNS_FOLDER, name);
  // a comparison measures training: checkpoints, which it would only delete, are for those who ask
  const save_strategy = wasSet(config, 'save_strategy') ? config.values.save_strategy : 'no';
  const decided = withValues(config, { seed, output_dir, save_strategy }, { source: 'arm', where: 'the suite' });
  return { ...decided, values: { ...decided.values, model_name_or_path, datasets, eval_datasets } };
}

/** Folder, in that of a suite, that holds what each run leaves. */
export const RUNS_FOLDER = 'runs';
