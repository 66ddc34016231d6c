/** Reads the YAML of a task, with the files that it includes, and checks it against what is followed. */
import { typeProblems, unknownKey } from '../config/describe.ts';
import { readYaml, type YamlFile } from '../config/yaml-file.ts';
import { ConfigError, type ConfigProblem } from '../errors.ts';
import { type FileReader, place } from '../formats/reader.ts';
import { checkTask } from './task-rules.ts';
import { REFUSED, type TaskFields, taskSchema, taskShape } from './task-shape.ts';

export type TaskFile = {
  /** The file as messages call it. */
  readonly file: string;
  readonly fields: TaskFields;
  /** As the files have it, merged: what results record. */
  readonly raw: Readonly<Record<string, unknown>>;
};

/** Keys of YAML 1.1 values that lm-eval writes and nobody reads. */
const PASSED_OVER = ['recipe'];

type Merged = { readonly values: Map<string, unknown>; readonly places: Map<string, YamlFile> };

/** @throws ConfigError with all that is wrong; DataError where a file cannot be read */
export async function readTaskFile(reader: FileReader, path: string): Promise<TaskFile> {
  const file = place(reader, path);
  const merged: Merged = { values: new Map(), places: new Map() };
  await readInto(merged, reader, path, []);
  const problems: ConfigProblem[] = [];
  const whereOf = (key: string, inner: readonly PropertyKey[] = []): string =>
    merged.places.get(key)?.place([key, ...inner]) ?? file;
  for (const [key, value] of merged.values) {
    if (key in taskShape)
      for (const problem of typeProblems(taskShape[key as keyof typeof taskShape], value, key, (inner) =>
        whereOf(key, inner),
      ))
        problems.push(problem);
    else if (key in REFUSED) {
      if (value !== null && value !== false) problems.push({ path: key, message: `${REFUSED[key]} (${whereOf(key)})` });
    } else if (!PASSED_OVER.includes(key)) problems.push(unknownKey(key, key, Object.keys(taskShape), whereOf(key)));
  }
  for (const key of ['task', 'dataset_path', 'dataset_kwargs', 'doc_to_text', 'doc_to_target'])
    if (!merged.values.has(key)) problems.push({ path: key, message: `is missing (${file})` });
  if (problems.length > 0) throw new ConfigError(problems);
  const raw = Object.fromEntries(merged.values);
  const fields = taskSchema.parse(Object.fromEntries([...merged.values].filter(([key]) => key in taskShape)));
  const found = checkTask(fields, (key) => whereOf(key));
  if (found.length > 0) throw new ConfigError(found);
  return { file, fields, raw };
}

/** Included files first, so that a file's own keys win. */
async function readInto(into: Merged, reader: FileReader, path: string, within: readonly string[]): Promise<void> {
  const file = place(reader, path);
  if (within.includes(path))
    throw new ConfigError([{ path: 'include', message: `${file} includes itself, by ${within.join(', ')}` }]);
  const yaml = readYaml({ path: file, text: await reader.readText(path) });
  if (yaml.problems.length > 0) throw new ConfigError(yaml.problems);
  const { include, ...own } = yaml.root;
  const named = include === undefined || include === null ? [] : Array.isArray(include) ? include : [include];
  for (const other of named) {
    if (typeof other !== 'string')
      throw new ConfigError([{ path: 'include', message: `needs the path of a file (${yaml.place(['include'])})` }]);
    await readInto(into, reader, beside(path, other), [...within, path]);
  }
  for (const [key, value] of Object.entries(own)) {
    // a list of tasks belongs to the file that has it
    if (within.length > 0 && key === 'task_list') continue;
    into.values.set(key, value);
    into.places.set(key, yaml);
  }
}

/** A path that a file names, which is meant from the folder of that file. */
export function beside(file: string, other: string): string {
  const isAbsolute = /^([/\\]|[A-Za-z]:)/.test(other);
  const at = Math.max(file.lastIndexOf('/'), file.lastIndexOf('\\'));
  return isAbsolute || at < 0 ? other : file.slice(0, at + 1) + other;
}
