/** Reads the repository's own files, for tests of the code base itself. */
import { readdirSync, readFileSync } from 'node:fs';

export const ROOT = new URL('../../', import.meta.url);

/** Reads the files below `folder` with an ending: the text of each by its path, in order. */
export function textFiles(folder: string, ending: string): Map<string, string> {
  const base = new URL(`${folder}/`, ROOT);
  const paths = readdirSync(base, { recursive: true, encoding: 'utf8' }).map((path) => path.replaceAll('\\', '/'));
  const wanted = paths.filter((path) => path.endsWith(ending)).sort();
  return new Map(wanted.map((path) => [path, readFileSync(new URL(path, base), 'utf8')]));
}
