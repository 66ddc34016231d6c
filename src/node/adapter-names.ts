/** What adapters are called, and the base that each says it is for. */

import { ADAPTER_CONFIG_FILE } from '../adapters/config.ts';
import type { Adapter } from '../adapters/files.ts';
import type { ConfigProblem } from '../errors.ts';
import type { NamedFolder } from './prompts.ts';

/** Finds names that are empty, or of two adapters. */
export function nameProblems(adapters: readonly NamedFolder[]): ConfigProblem[] {
  const names = adapters.map(({ name }) => name);
  return [
    ...emptyNames(adapters),
    ...names
      .filter((name, i) => name !== '' && names.indexOf(name) < i)
      .map((name) => ({
        path: 'adapter',
        message: `two adapters are called ${name}; give one another name: DIR=NAME`,
      })),
  ];
}

export function emptyNames(adapters: readonly NamedFolder[]): ConfigProblem[] {
  return adapters
    .filter(({ name }) => name === '')
    .map(({ directory }) => ({
      path: 'adapter',
      message: `${directory} is given an empty name; write DIR=NAME, or DIR alone`,
    }));
}

/** Says of an adapter that it names another base than the model it is put on: its tensors may fit all the same. */
export function otherBaseNotes(
  { config }: Pick<Adapter, 'config'>,
  { directory }: Pick<NamedFolder, 'directory'>,
  model: string,
): string[] {
  const { base_model_name_or_path: base } = config;
  if (base === null || base === '' || lastName(base) === lastName(model)) return [];
  return [
    `${directory}: ${ADAPTER_CONFIG_FILE} names ${base} as the base, and this is ${model}; on other weights than those it was trained on, an adapter does not do what it was trained for`,
  ];
}

/** The name that stays where a model is moved, or fetched from the hub into its cache. */
function lastName(model: string): string {
  const [, cached] = /(?:^|[/\\])models--([^/\\]+)[/\\]snapshots[/\\]/.exec(model) ?? [];
  const parts = (cached?.replaceAll('--', '/') ?? model).split(/[/\\]/);
  return (parts.findLast((part) => part !== '' && part !== '.') ?? '').toLowerCase();
}
