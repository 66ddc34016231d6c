/** The task files that an evaluation names, and the data files that they name in turn. */
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { ConfigError } from '../errors.ts';
import { readSplits } from '../eval/documents.ts';
import { prepareTask, type Task, type TaskOptions } from '../eval/task.ts';
import { readTaskFile } from '../eval/task-file.ts';
import { nodeReader } from './files.ts';

const TASK_FILE = /\.ya?ml$/i;

/** Reads every task of files and folders. @throws ConfigError, DataError */
export async function readTasks(named: readonly string[], options: TaskOptions): Promise<Task[]> {
  const tasks: Task[] = [];
  for (const file of await taskFiles(named)) {
    const found = await readTaskFile(nodeReader(path.dirname(file)), path.basename(file));
    const splits = await readSplits(found.fields, nodeReader('.'), (data) => dataFile(data, path.dirname(file)));
    tasks.push(prepareTask(found, splits, options));
  }
  const names = tasks.map(({ name }) => name);
  const twice = names.findIndex((name, i) => names.indexOf(name) < i);
  if (twice >= 0)
    throw new ConfigError([
      {
        path: 'tasks',
        message: `two tasks are called ${names[twice]} (${tasks[twice]!.file.file} is the second); give one of them`,
      },
    ]);
  return tasks;
}

async function taskFiles(named: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const given of named) {
    const kind = await stat(given).catch(() => null);
    if (kind === null)
      throw new ConfigError([
        {
          path: 'tasks',
          message: `there is no file or folder ${given}; tasks are YAML files of lm-eval's, not names of its own tasks`,
        },
      ]);
    if (!kind.isDirectory()) {
      found.push(given);
      continue;
    }
    const files = (await readdir(given)).filter((name) => TASK_FILE.test(name)).sort();
    // lm-eval's own folders keep what tasks include beside them, under names that begin so
    const tasks = files.filter((name) => !name.startsWith('_'));
    if (tasks.length === 0)
      throw new ConfigError([
        { path: 'tasks', message: `${given} holds no task file; wanted names that end in .yaml` },
      ]);
    for (const name of tasks) found.push(path.join(given, name));
  }
  return found;
}

/** A data file is meant from the working directory, as lm-eval means it, or else from the folder of its task or the one above. */
async function dataFile(named: string, folder: string): Promise<string | null> {
  for (const candidate of [named, path.join(folder, named), path.join(folder, '..', named)])
    if ((await stat(candidate).catch(() => null))?.isFile() === true) return path.resolve(candidate);
  return null;
}
