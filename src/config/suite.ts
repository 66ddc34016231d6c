/** A benchmark suite: one base configuration, arms that depart from it, cases that all arms go through, seeds that repeat them. */
import { ConfigError, type ConfigProblem } from '../errors.ts';
import { showSetting, typeProblems, unknownKey } from './describe.ts';
import { type FileName, fileName, siblingProblems } from './file-name.ts';
import { envLayer, fileLayer, flagLayer, type Layer } from './layers.ts';
import { type ConfigSources, type ResolvedConfig, resolveLayers } from './load.ts';
import { nearest } from './nearest.ts';
import type { Notice } from './notice.ts';
import type { SettingKey } from './settings.ts';
import { closedDifferences } from './suite-closed.ts';
import { exclusion } from './suite-exclude.ts';
import { axisKeys, type Combination, crossAxes } from './suite-matrix.ts';
import { type Budget, suiteShape, type Target, UNSUPPORTED_SUITE_KEYS } from './suite-shape.ts';
import { readYaml, type SourceFile, type YamlFile } from './yaml-file.ts';

export type Arm = { readonly name: FileName; readonly config: ResolvedConfig };

/** Settings that all arms share and that differ from those of other cases; arms are compared within a case. */
export type Case = {
  /** Null in a suite without a matrix. */
  readonly name: FileName | null;
  /** In the order of the file. seed and output_dir still hold their defaults: the runner sets them for each run. */
  readonly arms: readonly Arm[];
};

export type ResolvedSuite = {
  readonly suite: FileName;
  readonly description: string;
  readonly seeds: readonly number[];
  readonly division: 'closed' | 'open';
  /** The arm that the others are held against. */
  readonly baseline: FileName;
  readonly budget: Budget | null;
  readonly target: Target | null;
  /** Whether the first run of each arm is profiled. */
  readonly profile: boolean;
  readonly cases: readonly Case[];
  readonly notices: readonly Notice[];
  /** What it was read from. */
  readonly sources: SuiteSources;
};

export type SuiteSources = ConfigSources & { readonly file: SourceFile };

type Head = Pick<ResolvedSuite, 'suite' | 'description' | 'seeds' | 'division' | 'profile'> & {
  readonly baseline?: string;
  readonly budget?: Budget;
  readonly target?: Target;
  readonly exclude: readonly Readonly<Record<string, unknown>>[];
};

type UnnamedArm = { readonly name: string; readonly layers: readonly Layer[] };
type UnnamedCase = { readonly name: string | null; readonly arms: readonly UnnamedArm[] };

/** Settings a suite decides for each of its runs. */
const RUNNER_KEYS: readonly SettingKey[] = ['seed', 'output_dir'];

/**
 * Resolves a suite. Precedence is default < base < environment < flag < matrix < arm: what a comparison varies is its
 * definition, so a flag changes all arms alike and never takes away their difference.
 * @throws ConfigError with every problem of the file, the environment and the flags at once.
 */
export function loadSuite(sources: SuiteSources): ResolvedSuite {
  const file = readYaml(sources.file);
  if (file.problems.length > 0) throw new ConfigError(file.problems);
  const problems: ConfigProblem[] = [];
  const head = readHead(file, problems);
  const base = fileLayer(file, ['base'], mappingAt(file, ['base'], problems));
  const shared = [base, envLayer(sources.env ?? {}), flagLayer(sources.flags ?? {})];
  const combinations = crossAxes(file, problems);
  const armLayers = readArms(file, problems);
  const cases = casesOf(file, head, combinations, armLayers, problems);
  const layers = [...combinations.flatMap(({ points }) => points.map(({ layer }) => layer)), ...armLayers.values()];
  for (const problem of unique([...shared, ...layers].flatMap(runnerKeys))) problems.push(problem);
  for (const problem of armsOnAxes(combinations, armLayers)) problems.push(problem);

  const resolved = cases.map(({ name, arms }) => ({
    name,
    arms: arms.flatMap((arm) => resolveArm(arm, shared, problems)),
  }));
  if (problems.length === 0 && head.division === 'closed')
    for (const { arms } of resolved) for (const problem of closedDifferences(arms)) problems.push(problem);
  if (head.target !== undefined && problems.length === 0)
    for (const problem of withoutEvaluation(file, resolved)) problems.push(problem);
  const baseline = baselineOf(file, head, resolved, problems);
  if (problems.length > 0) throw new ConfigError(unique(problems));
  const { exclude, ...kept } = head;
  return {
    ...kept,
    baseline: fileName('baseline', baseline),
    budget: head.budget ?? null,
    target: head.target ?? null,
    cases: resolved.map(({ name, arms }) => ({
      name: name === null ? null : fileName('matrix', name),
      arms: arms.map(({ name: arm, config }) => ({ name: fileName('arms', arm), config })),
    })),
    notices: unique([
      ...resolved.flatMap(({ arms }) => arms.flatMap(({ config }) => armNotices(config, shared))),
      ...overruled(combinations, shared),
    ]),
    sources,
  };
}

function readHead(file: YamlFile, problems: ConfigProblem[]): Head {
  const head: Record<string, unknown> = {};
  for (const [key, type] of Object.entries(suiteShape)) {
    const value = file.root[key];
    const wrong = typeProblems(type, value, key, (inner) => file.place([key, ...inner]));
    for (const problem of wrong) problems.push(problem);
    const parsed = wrong.length === 0 ? type.parse(value) : undefined;
    if (parsed !== undefined) head[key] = parsed;
  }
  const known = [...Object.keys(suiteShape), 'base', 'arms', 'matrix'];
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
  return { exclude: [], ...head } as unknown as Head;
}

function readArms(file: YamlFile, problems: ConfigProblem[]): ReadonlyMap<string, Layer> {
  const names = Object.keys(mappingAt(file, ['arms'], problems));
  for (const { name, message } of siblingProblems(names))
    problems.push({ path: 'arms', message: `${message} (${file.place(['arms', name])})` });
  return new Map(
    names.map((name) => [name, fileLayer(file, ['arms', name], mappingAt(file, ['arms', name], problems), 'arm')]),
  );
}

/** Arms in every case or, in a suite that names none, each combination of the matrix as an arm. */
function casesOf(
  file: YamlFile,
  { exclude }: Head,
  combinations: readonly Combination[],
  armLayers: ReadonlyMap<string, Layer>,
  problems: ConfigProblem[],
): UnnamedCase[] {
  const hasMatrix = combinations.some(({ points }) => points.length > 0);
  const isSweep = armLayers.size === 0 && hasMatrix;
  const excluded = exclusion(file, exclude, [...armLayers.keys()], combinations);
  const layersOf = ({ points }: Combination): Layer[] => points.map(({ layer }) => layer);
  const cases: UnnamedCase[] = isSweep
    ? [
        {
          name: null,
          arms: combinations
            .filter((combination) => !excluded.has('', combination))
            .map((combination) => ({ name: combination.name, layers: layersOf(combination) })),
        },
      ]
    : combinations.map((combination) => ({
        name: hasMatrix ? combination.name : null,
        arms: [...armLayers]
          .filter(([name]) => !excluded.has(name, combination))
          .map(([name, layer]) => ({ name, layers: [...layersOf(combination), layer] })),
      }));
  for (const problem of excluded.problems()) problems.push(problem);
  const there = cases.filter(({ arms }) => arms.length > 0);
  if (there.length === 0)
    problems.push({
      path: 'arms',
      message: `names no arm; wanted "arms: {lora: {method: lora}, qlora: {method: qlora}}" (${file.place(['arms'])})`,
    });
  const long = isSweep ? there.flatMap(({ arms }) => arms.map(({ name }) => name)) : there.map(({ name }) => name);
  for (const { message } of siblingProblems(long.filter((name) => name !== null)))
    if (problems.length === 0) problems.push({ path: 'matrix', message: `${message} (${file.place(['matrix'])})` });
  return there;
}

type ResolvedArm = { readonly name: string; readonly config: ResolvedConfig };

function resolveArm({ name, layers }: UnnamedArm, shared: readonly Layer[], problems: ConfigProblem[]): ResolvedArm[] {
  try {
    return [{ name, config: resolveLayers([...shared, ...layers], 'train') }];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    for (const problem of error.problems) {
      const isPlaced = isFromArm(problem) || isFromSource([...shared, ...layers], problem);
      problems.push(isPlaced ? problem : { ...problem, path: `arms.${name}.${problem.path}` });
    }
    return [];
  }
}

function baselineOf(
  file: YamlFile,
  { baseline }: Head,
  cases: readonly { readonly arms: readonly ResolvedArm[] }[],
  problems: ConfigProblem[],
): string {
  const names = [...new Set(cases.flatMap(({ arms }) => arms.map(({ name }) => name)))];
  if (baseline === undefined) return names[0] ?? '';
  if (problems.length > 0 || names.includes(baseline)) return baseline;
  const meant = nearest(baseline, names);
  const hint = meant === undefined ? '' : `; did you mean ${meant}?`;
  const message = `got ${showSetting(baseline)}, wanted an arm: ${names.join(', ')}${hint} (${file.place(['baseline'])})`;
  problems.push({ path: 'baseline', message });
  return baseline;
}

/** A target is reached by an evaluation, or never. */
function withoutEvaluation(
  file: YamlFile,
  cases: readonly { readonly arms: readonly ResolvedArm[] }[],
): ConfigProblem[] {
  const lacks = cases.some(({ arms }) => arms.some(({ config }) => config.values.eval_datasets.length === 0));
  const message = `needs eval_datasets in every arm, and eval_strategy: steps to be met early (${file.place(['target'])})`;
  return lacks ? [{ path: 'target', message }] : [];
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

/** An arm that sets what an axis varies would be the same in all cases. */
function armsOnAxes(combinations: readonly Combination[], arms: ReadonlyMap<string, Layer>): ConfigProblem[] {
  const axes = axisKeys(combinations);
  return [...arms.values()].flatMap(({ entries }) =>
    [...entries.values()]
      .filter(({ key }) => axes.has(key))
      .map(({ key, path, origin }) => ({
        path,
        message: `is varied by the axis ${axes.get(key)} of matrix as well; keep one of the two (${origin.where})`,
      })),
  );
}

/** Flags and variables that an axis overrules. */
function overruled(combinations: readonly Combination[], [, ...given]: readonly Layer[]): Notice[] {
  const axes = axisKeys(combinations);
  return given.flatMap(({ entries }) =>
    [...entries.values()]
      .filter(({ key }) => axes.has(key))
      .map(({ key, path, origin }) => ({
        path,
        message: `has no effect: the axis ${axes.get(key)} of matrix decides it (${origin.where})`,
      })),
  );
}

/** Keeps "has no effect" from an arm only: a base shared by all arms holds settings that only some of them use. */
function armNotices(config: ResolvedConfig, shared: readonly Layer[]): ConfigProblem[] {
  const fromSources = new Set(shared.flatMap((layer) => layer.notices));
  return config.notices.filter((n) => fromSources.has(n) || isFromArm(n) || !n.message.startsWith('has no effect'));
}

const isFromArm = (problem: ConfigProblem): boolean => /^(arms|matrix)\./.test(problem.path);
const isFromSource = (layers: readonly Layer[], problem: ConfigProblem): boolean =>
  layers.some(
    (layer) => layer.problems.includes(problem) || [...layer.entries.values()].some((e) => e.path === problem.path),
  );

function unique(problems: readonly ConfigProblem[]): ConfigProblem[] {
  return [...new Map(problems.map((problem) => [`${problem.path}\n${problem.message}`, problem])).values()];
}
