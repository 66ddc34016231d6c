/** Runs that a suite leaves out of its matrix. */
import type { ConfigProblem } from '../errors.ts';
import { showSetting, unknownKey } from './describe.ts';
import { show } from './show.ts';
import type { Combination } from './suite-matrix.ts';
import type { YamlFile } from './yaml-file.ts';

type Entry = Readonly<Record<string, unknown>>;
const ARM = 'arm';

export type Exclusion = {
  /** Whether the run of an arm at a combination is left out. */
  has(arm: string, combination: Combination): boolean;
  /** Entries that named no run. Ask after the runs. */
  problems(): ConfigProblem[];
};

/** Checks the entries of `exclude` against arms and axes. */
export function exclusion(
  file: YamlFile,
  entries: readonly Entry[],
  arms: readonly string[],
  combinations: readonly Combination[],
): Exclusion {
  const axes = new Map<string, unknown[]>(arms.length > 0 ? [[ARM, [...arms]]] : []);
  for (const { axis, value } of combinations.flatMap(({ points }) => points))
    axes.set(axis, [...(axes.get(axis) ?? []), value]);
  const matched = new Set<Entry>();
  const hits = (entry: Entry, arm: string, { points }: Combination): boolean =>
    Object.entries(entry).every(([key, wanted]) => {
      const value = key === ARM ? arm : points.find(({ axis }) => axis === key)?.value;
      return show(value) === show(wanted);
    });
  return {
    has: (arm, combination) => {
      const found = entries.filter((entry) => hits(entry, arm, combination));
      for (const entry of found) matched.add(entry);
      return found.length > 0;
    },
    problems: () =>
      entries.flatMap((entry, i) => {
        const where = file.place(['exclude', i]);
        const wrong = Object.entries(entry).flatMap(([key, wanted]) => entryProblems(axes, i, key, wanted, where));
        if (wrong.length > 0 || (matched.has(entry) && Object.keys(entry).length > 0)) return wrong;
        return [{ path: `exclude[${i}]`, message: `got ${showSetting(entry)}, which names no run (${where})` }];
      }),
  };
}

function entryProblems(
  axes: ReadonlyMap<string, readonly unknown[]>,
  index: number,
  key: string,
  wanted: unknown,
  where: string,
): ConfigProblem[] {
  const path = `exclude[${index}].${key}`;
  const values = axes.get(key);
  if (values === undefined) return [unknownKey(path, key, axes.keys(), where)];
  if (values.some((value) => show(value) === show(wanted))) return [];
  const known = [...new Set(values.map(show))].join(', ');
  return [{ path, message: `got ${showSetting(wanted)}, wanted one of ${known} (${where})` }];
}
