/** Keeps paths of this machine out of what is published. */
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { DataError } from '../errors.ts';
import { homeFolder } from '../node/cache-home.ts';
import { packageRoot } from '../node/package-root.ts';
import { readRegular } from '../node/regular-file.ts';
import type { NamedInput } from './inputs.ts';

/** A folder of this machine, and what stands for it where others read. */
export type PrivateRoot = { readonly root: string; readonly name: string };

/** Options of `nibble bench run` that say where, and not what. */
const PLACES = ['--output', '--resume', '--shard'];
/** Files whose text others read. */
const TEXT = /\.(json|yaml|md|html|csv|svg|txt|jsonl)$/;

/** Folders that nobody else has, the innermost first: that of the suite, nibble's, the working directory, home. */
export function privateRoots(folder: string): PrivateRoot[] {
  const home = homeFolder();
  const roots = [
    { root: path.resolve(folder), name: '.' },
    { root: path.resolve(packageRoot()), name: 'nibble' },
    { root: process.cwd(), name: '.' },
    ...(home === null ? [] : [{ root: home, name: '~' }]),
  ];
  return roots.filter(({ root }) => path.dirname(root) !== root).sort((a, b) => b.root.length - a.root.length);
}

/** Replaces private folders in a text by what stands for them. */
export function withoutPrivate(text: string, roots: readonly PrivateRoot[]): string {
  return roots.reduce(
    (left, { root, name }) => left.replaceAll(pathToFileURL(root).href, name).replaceAll(root, name),
    text,
  );
}

/** A command as others would give it: without where its results went, and with public names. */
export function publicCommand(command: readonly string[], inputs: readonly NamedInput[]): string[] {
  const names = new Map(inputs.map(({ given, name }) => [given, name]));
  const nameOf = (word: string): string => names.get(word) ?? (path.isAbsolute(word) ? path.basename(word) : word);
  const kept = command.filter((word, i) => {
    const isPlace = (one: string | undefined): boolean => PLACES.includes(one ?? '');
    return !isPlace(word) && !isPlace(command[i - 1]) && !PLACES.some((option) => word.startsWith(`${option}=`));
  });
  return kept.map((word) => {
    const [option, value] = /^(--[\w-]+=)(.*)$/s.exec(word)?.slice(1) ?? ['', word];
    return `${option}${nameOf(value ?? '')}`;
  });
}

/**
 * Requires that no text file of a folder names a private one.
 * @throws DataError naming the first file that does, and the place
 */
export async function requirePublic(folder: string, roots: readonly PrivateRoot[]): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true });
  for (const entry of entries) {
    if (entry.isDirectory() || !TEXT.test(entry.name)) continue;
    const file = path.join(entry.parentPath, entry.name);
    const text = (await readRegular(file)).toString('utf8');
    const found = roots.find(({ root }) => hasPath(text, root));
    if (found !== undefined)
      throw new DataError(
        path.relative(folder, file),
        `names ${found.root}, a folder of this machine, which others should not read. Run the suite again with this nibble, ` +
          'or write the path relative to the working directory; nothing was published.',
      );
  }
}

/** Whether a text names a folder or something below it, and not another one that begins alike. */
function hasPath(text: string, root: string): boolean {
  for (let at = text.indexOf(root); at >= 0; at = text.indexOf(root, at + 1))
    if (!/[\w.-]/.test(text[at + root.length] ?? '') && !/[\w.]/.test(text[at - 1] ?? '')) return true;
  return false;
}
