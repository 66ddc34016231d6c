/** The text of the repository's own files, for tests that read the house itself. */
import { readdirSync, readFileSync } from 'node:fs';

export const ROOT = new URL('../../', import.meta.url);

/** Paths below `folder` with that ending, in order, and the text of each. */
export function textFiles(folder: string, ending: string): Map<string, string> {
  const base = new URL(`${folder}/`, ROOT);
  const paths = readdirSync(base, { recursive: true, encoding: 'utf8' }).map((path) => path.replaceAll('\\', '/'));
  const wanted = paths.filter((path) => path.endsWith(ending)).sort();
  return new Map(wanted.map((path) => [path, readFileSync(new URL(path, base), 'utf8')]));
}
