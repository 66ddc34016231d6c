/** A training configuration from its sources: default < file < environment < flag < options, with the origin of every value. */
import { ConfigError } from '../errors.ts';
import type { Merged } from './couple.ts';
import { dialectLayer } from './dialects.ts';
import { envLayer, fileLayer, flagLayer, type Layer, type Origin, optionsLayer } from './layers.ts';
import type { Notice } from './notice.ts';
import { applyRules, type Purpose, standsForBfloat16 } from './rules.ts';
import { type SettingKey, settingKeys, settings, type TrainConfig, type TrainSettings } from './settings.ts';
import { readYaml, type SourceFile } from './yaml-file.ts';

export type ResolvedConfig = {
  readonly values: TrainConfig;
  readonly origins: Readonly<Record<SettingKey, Origin>>;
  /** What the user should know but need not change: other names read, settings without effect. */
  readonly notices: readonly Notice[];
};

export type ConfigSources = {
  readonly file?: SourceFile;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Text by key, underscores or hyphens; `true` for a flag without a value. */
  readonly flags?: Readonly<Record<string, string | true | undefined>>;
  /** Values with their own types, by key. */
  readonly options?: TrainSettings;
  /** Defaults that take the place of the settings' own: every other source goes before them, and they count as set by nobody. */
  readonly usual?: TrainSettings;
};

/** Where a value of `usual` says that it is from. */
const USUAL: Origin = { source: 'default', where: 'usual' };

/**
 * Resolves a training configuration.
 * @throws ConfigError with every problem of every source at once.
 */
export function loadTrainConfig(sources: ConfigSources, purpose: Purpose = 'train'): ResolvedConfig {
  const layers = [envLayer(sources.env ?? {}), flagLayer(sources.flags ?? {}), optionsLayer(sources.options ?? {})];
  const usual = optionsLayer(sources.usual ?? {}, USUAL);
  if (sources.file === undefined) return resolveLayers([usual, ...layers], purpose);
  const yaml = readYaml(sources.file);
  // rules between settings would only repeat what an unreadable file left out
  if (yaml.problems.length > 0) throw new ConfigError([...yaml.problems, ...layers.flatMap((layer) => layer.problems)]);
  const file = fileLayer(yaml, [], yaml.root);
  const dialect = dialectLayer({ root: yaml.root, entries: file.entries });
  return resolveLayers([usual, ...(dialect === null ? [] : [dialect]), file, ...layers], purpose);
}

/** Merges layers, the later over the earlier, and applies the rules between settings. */
export function resolveLayers(layers: readonly Layer[], purpose: Purpose): ResolvedConfig {
  const set: Merged = new Map();
  for (const [rank, layer] of layers.entries())
    for (const [key, entry] of layer.entries) set.set(key, { ...entry, rank });
  const found = applyRules(set, purpose);
  const misread = (key: string) =>
    !set.has(key as SettingKey) && layers.some((l) => l.mentioned.has(key as SettingKey));
  const problems = [
    ...layers.flatMap((layer) => layer.problems),
    ...found.problems.filter((problem) => !misread(problem.path)),
  ];
  if (problems.length > 0) throw new ConfigError(problems);

  const parsed = settings.parse(Object.fromEntries([...set].map(([key, entry]) => [key, entry.value])));
  const requested_compute_dtype = set.get('compute_dtype')?.requested ?? parsed.compute_dtype;
  const float16_if_possible = standsForBfloat16(set);
  const values = { ...parsed, requested_compute_dtype, float16_if_possible } as TrainConfig;
  const origins = Object.fromEntries(
    settingKeys.map((key) => [key, set.get(key)?.origin ?? { source: 'default', where: 'default' }]),
  ) as Record<SettingKey, Origin>;
  return { values, origins, notices: [...layers.flatMap((layer) => layer.notices), ...found.notices] };
}

/** Tells whether somebody asked for this value, rather than leaving it to its default or to another setting. */
export function wasSet(config: ResolvedConfig, key: SettingKey): boolean {
  const { source, note } = config.origins[key];
  return source !== 'default' && note === undefined;
}

/** Replaces some values, for a caller that decides them: a seed per replicate, a folder. */
export function withValues(config: ResolvedConfig, values: Partial<TrainConfig>, origin: Origin): ResolvedConfig {
  const origins = { ...config.origins };
  for (const key of Object.keys(values) as SettingKey[]) origins[key] = origin;
  return { ...config, values: { ...config.values, ...values }, origins };
}
