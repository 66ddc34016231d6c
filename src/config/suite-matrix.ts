/** The axes of a suite: settings, or named groups of settings, crossed with each other. */
import type { ConfigProblem } from '../errors.ts';
import { showSetting, unknownKey } from './describe.ts';
import { siblingProblems } from './file-name.ts';
import { fileLayer, type Layer } from './layers.ts';
import { ALIASES, isSettingKey } from './names.ts';
import { type SettingKey, settingKeys } from './settings.ts';
import type { YamlFile } from './yaml-file.ts';

/** A value of an axis. */
type Point = {
  readonly axis: string;
  /** As `exclude` names it: the value itself, or the name of a group. */
  readonly value: unknown;
  /** Its part of the name of a case. */
  readonly label: string;
  readonly layer: Layer;
};

/** A point on every axis. */
export type Combination = { readonly name: string; readonly points: readonly Point[] };

/** Runs of a suite beyond which a matrix is a mistake. */
const MOST_COMBINATIONS = 4096;

/** Crosses the axes; one combination without a point where there are none. */
export function crossAxes(file: YamlFile, problems: ConfigProblem[]): readonly Combination[] {
  const matrix = file.root.matrix ?? {};
  if (!isMapping(matrix)) {
    const message = `got ${showSetting(matrix)}, wanted a mapping: {lora_r: [8, 16]} (${file.place(['matrix'])})`;
    problems.push({ path: 'matrix', message });
    return [{ name: '', points: [] }];
  }
  const axes = Object.keys(matrix).map((axis) => axisPoints(file, axis, matrix[axis], problems));
  for (const problem of sharedSettings(axes)) problems.push(problem);
  const count = axes.reduce((product, points) => product * points.length, 1);
  if (count > MOST_COMBINATIONS) {
    const message = `makes ${count} combinations, wanted at most ${MOST_COMBINATIONS} (${file.place(['matrix'])})`;
    problems.push({ path: 'matrix', message });
    return [{ name: '', points: [] }];
  }
  const combinations = axes.reduce<readonly (readonly Point[])[]>(
    (found, points) => found.flatMap((before) => points.map((point) => [...before, point])),
    [[]],
  );
  return combinations.map((points) => ({ name: points.map(({ label }) => label).join('.'), points }));
}

function axisPoints(file: YamlFile, axis: string, values: unknown, problems: ConfigProblem[]): Point[] {
  const at = file.place(['matrix', axis]);
  const wanted = 'wanted a list of values of a setting, or names of groups of settings: {short: {max_length: 64}}';
  if (Array.isArray(values) && values.length > 0) {
    if (!isSettingKey(axis) && !ALIASES.has(axis)) {
      problems.push(unknownKey(`matrix.${axis}`, axis, [...settingKeys, ...ALIASES.keys()], at));
      return [];
    }
    const points = values.map((value) => ({
      axis,
      value,
      label: `${axis}-${slug(value)}`,
      layer: fileLayer(file, ['matrix'], { [axis]: value }, 'arm'),
    }));
    return named(file, axis, points, problems);
  }
  if (!isMapping(values) || Object.keys(values).length === 0) {
    problems.push({ path: `matrix.${axis}`, message: `got ${showSetting(values)}, ${wanted} (${at})` });
    return [];
  }
  const points = Object.entries(values).flatMap(([value, group]) => {
    const path = ['matrix', axis, value];
    if (isMapping(group)) return [{ axis, value, label: value, layer: fileLayer(file, path, group, 'arm') }];
    const message = `got ${showSetting(group)}, wanted a mapping of settings (${file.place(path)})`;
    problems.push({ path: path.join('.'), message });
    return [];
  });
  return named(file, axis, points, problems);
}

/** Points whose labels can stand in the name of a folder, each once. */
function named(file: YamlFile, axis: string, points: readonly Point[], problems: ConfigProblem[]): Point[] {
  const labels = points.map(({ label }) => label);
  const twice = labels.find((label, i) => labels.indexOf(label) < i);
  const where = file.place(['matrix', axis]);
  if (twice !== undefined) {
    const message = `has two values called ${twice}; give them names: {first: {...}, second: {...}} (${where})`;
    problems.push({ path: `matrix.${axis}`, message });
    return [...points];
  }
  for (const { message } of siblingProblems(labels))
    problems.push({ path: `matrix.${axis}`, message: `${message} (${where})` });
  return [...points];
}

/** Turns a value into letters, digits, dots and hyphens: `q_proj-v_proj`, `0.0001`, `all-linear`. */
function slug(value: unknown): string {
  if (Array.isArray(value)) return value.map(slug).join('-');
  const text = typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value);
  return text.replaceAll(/[^\w.-]+/g, '-').replaceAll(/^[-.]+|[-.]+$/g, '');
}

/** Settings that two axes set: one of the two would be lost. */
function sharedSettings(axes: readonly (readonly Point[])[]): ConfigProblem[] {
  const owners = new Map<SettingKey, string>();
  const problems: ConfigProblem[] = [];
  for (const points of axes) {
    const keys = new Set(points.flatMap(({ layer }) => [...layer.entries.values()]));
    for (const { key, path, origin } of keys) {
      const axis = points[0]!.axis;
      const other = owners.get(key) ?? axis;
      if (other !== axis)
        problems.push({ path, message: `is set by the axis ${other} as well; keep it in one (${origin.where})` });
      owners.set(key, other);
    }
  }
  return problems;
}

/** Settings that an axis decides: a flag, or an arm, cannot. */
export function axisKeys(combinations: readonly Combination[]): ReadonlyMap<SettingKey, string> {
  return new Map(
    combinations.flatMap(({ points }) =>
      points.flatMap(({ axis, layer }) => [...layer.entries.keys()].map((key) => [key, axis] as const)),
    ),
  );
}

export function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
