/** A benchmark suite: one base configuration, arms that depart from it, seeds that repeat them. */
import { ConfigError, type ConfigProblem } from '../errors.ts';
import { showSetting, typeProblems, unknownKey } from './describe.ts';
import { type FileName, fileName, siblingProblems } from './file-name.ts';
import { envLayer, fileLayer, flagLayer, type Layer } from './layers.ts';
import { type ConfigSources, type ResolvedConfig, resolveLayers } from './load.ts';
import type { Notice } from './notice.ts';
import { type SettingKey, settingKeys } from './settings.ts';
import { suiteShape, UNSUPPORTED_SUITE_KEYS } from './suite-shape.ts';
import { readYaml, type SourceFile, type YamlFile } from './yaml-file.ts';

export type Arm = { readonly name: FileName; readonly config: ResolvedConfig };

/** One whose name nobody has looked at yet. */
type UnnamedArm = Omit<Arm, 'name'> & { readonly name: string };

export type ResolvedSuite = {
  readonly suite: FileName;
  readonly description: string;
  readonly seeds: readonly number[];
  readonly division: 'closed' | 'open';
  /** In the order of the file. seed and output_dir still hold their defaults: the runner sets them for each run. */
  readonly arms: readonly Arm[];
  readonly notices: readonly Notice[];
};

type Head = Pick<ResolvedSuite, 'suite' | 'description' | 'seeds' | 'division'>;

/** Settings a suite decides for each of its runs. */
const RUNNER_KEYS: readonly SettingKey[] = ['seed', 'output_dir'];

/** What arms of a closed division may differ in: how the base is stored and what is trained. */
const CLOSED_MAY_DIFFER: readonly SettingKey[] = [
  'method',
  'load_in_4bit',
  'dtype',
  'llm_int8_skip_modules',
  'bnb_4bit_quant_type',
  'bnb_4bit_use_double_quant',
  'bnb_4bit_quant_storage',
  'bnb_4bit_blocksize',
];

/**
 * Resolves a suite. Precedence is default < base < environment < flag < arm: what a comparison varies is its
 * definition, so a flag changes all arms alike and never takes away their difference.
 * @throws ConfigError with every problem of the file, the environment and the flags at once.
 */
export function loadSuite(sources: ConfigSources & { readonly file: SourceFile }): ResolvedSuite {
  const file = readYaml(sources.file);
  if (file.problems.length > 0) throw new ConfigError(file.problems);
  const problems: ConfigProblem[] = [];
  const head = readHead(file, problems);
  const base = fileLayer(file, ['base'], mappingAt(file, ['base'], problems));
  const shared = [base, envLayer(sources.env ?? {}), flagLayer(sources.flags ?? {})];
  const armNames = Object.keys(mappingAt(file, ['arms'], problems));
  for (const { name, message } of siblingProblems(armNames))
    problems.push({ path: 'arms', message: `${message} (${file.place(['arms', name])})` });
  const armLayers = armNames.map((name) => ({
    name,
    layer: fileLayer(file, ['arms', name], mappingAt(file, ['arms', name], problems), 'arm'),
  }));
  if (armLayers.length === 0)
    problems.push({
      path: 'arms',
      message: `names no arm; wanted "arms: {lora: {method: lora}, qlora: {method: qlora}}" (${file.place(['arms'])})`,
    });
  for (const layer of [...shared, ...armLayers.map((arm) => arm.layer)])
    for (const problem of runnerKeys(layer)) problems.push(problem);

  const arms: UnnamedArm[] = [];
  for (const { name, layer } of armLayers) {
    try {
      arms.push({ name, config: resolveLayers([...shared, layer], 'train') });
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      for (const problem of error.problems) {
        const isPlaced = isFromArm(problem) || isFromSource(shared, problem);
        problems.push(isPlaced ? problem : { ...problem, path: `arms.${name}.${problem.path}` });
      }
    }
  }
  if (problems.length === 0 && head.division === 'closed')
    for (const problem of closedDifferences(arms)) problems.push(problem);
  if (problems.length > 0) throw new ConfigError(unique(problems));
  const notices = unique(arms.flatMap((arm) => armNotices(arm, shared)));
  return { ...head, arms: arms.map(({ name, config }) => ({ name: fileName('arms', name), config })), notices };
}

function readHead(file: YamlFile, problems: ConfigProblem[]): Head {
  const head: Record<string, unknown> = {};
  for (const [key, type] of Object.entries(suiteShape)) {
    const value = file.root[key];
    const wrong = typeProblems(type, value, key, (inner) => file.place([key, ...inner]));
    for (const problem of wrong) problems.push(problem);
    if (wrong.length === 0) head[key] = type.parse(value);
  }
  const known = [...Object.keys(suiteShape), 'base', 'arms'];
  for (const key of Object.keys(file.root)) {
    if (known.includes(key)) continue;
    const where = file.place([key]);
    if (UNSUPPORTED_SUITE_KEYS.includes(key))
      problems.push({ path: key, message: `is not supported yet; remove it (${where})` });
    else problems.push(unknownKey(key, key, known, where));
  }
  const { seeds } = head as Partial<Head>;
  if (seeds && new Set(seeds).size < seeds.length)
    problems.push({
      path: 'seeds',
      message: `got ${showSetting(seeds)}, wanted each seed once (${file.place(['seeds'])})`,
    });
  return head as Head;
}

function mappingAt(file: YamlFile, path: readonly string[], problems: ConfigProblem[]): object {
  const value = path.reduce<unknown>((node, part) => (node as Record<string, unknown>)?.[part], file.root) ?? {};
  if (typeof value === 'object' && !Array.isArray(value)) return value;
  problems.push({
    path: path.join('.'),
    message: `got ${showSetting(value)}, wanted a mapping of settings (${file.place(path)})`,
  });
  return {};
}

function runnerKeys(layer: Layer): ConfigProblem[] {
  return RUNNER_KEYS.flatMap((key) => layer.entries.get(key) ?? []).map(({ key, path, origin }) => ({
    path,
    message: `is set for each run by the suite; remove it${key === 'seed' ? ' and use seeds' : ''} (${origin.where})`,
  }));
}

function closedDifferences([first, ...others]: readonly UnnamedArm[]): ConfigProblem[] {
  if (first === undefined) return [];
  // the dtype that was asked for, because fresh adapters are rounded to it
  const asked = ({ values }: Arm['config'], key: SettingKey): unknown =>
    values[key === 'compute_dtype' ? 'requested_compute_dtype' : key];
  const whole = (config: Arm['config'], key: SettingKey): string => JSON.stringify(asked(config, key));
  return others.flatMap(({ name, config }) =>
    settingKeys
      .filter((key) => !CLOSED_MAY_DIFFER.includes(key) && key !== 'bnb_4bit_compute_dtype')
      .filter((key) => whole(config, key) !== whole(first.config, key))
      .map((key) => ({
        path: `arms.${name}.${key}`,
        message:
          `${showSetting(asked(config, key))} differs from ${showSetting(asked(first.config, key))} in arm ${first.name}; arms of a closed ` +
          `division train alike: move the setting to base, or write division: open (${config.origins[key].where})`,
      })),
  );
}

/** Keeps "has no effect" from an arm only: a base shared by all arms holds settings that only some of them use. */
function armNotices({ config }: UnnamedArm, shared: readonly Layer[]): ConfigProblem[] {
  const fromSources = new Set(shared.flatMap((layer) => layer.notices));
  return config.notices.filter((n) => fromSources.has(n) || isFromArm(n) || !n.message.startsWith('has no effect'));
}

const isFromArm = (problem: ConfigProblem): boolean => problem.path.startsWith('arms.');
const isFromSource = (layers: readonly Layer[], problem: ConfigProblem): boolean =>
  layers.some(
    (layer) => layer.problems.includes(problem) || [...layer.entries.values()].some((e) => e.path === problem.path),
  );

function unique(problems: readonly ConfigProblem[]): ConfigProblem[] {
  return [...new Map(problems.map((problem) => [`${problem.path}\n${problem.message}`, problem])).values()];
}
