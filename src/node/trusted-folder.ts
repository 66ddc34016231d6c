/** Whether nobody else can change what lies in a folder: code is loaded from no other. */
import { lstatSync, readdirSync } from 'node:fs';
import path from 'node:path';

const GROUP_OR_OTHERS_WRITE = 0o022;
const STICKY = 0o1000;
const ROOT = 0;

/** The part of a file's description that is looked at. */
export type FileOwner = {
  readonly uid: number;
  readonly mode: number;
  isSymbolicLink(): boolean;
};

type Look = (file: string) => FileOwner;

/**
 * Says why a folder, a file in it or a folder above it could be another user's doing; null where it could not: all of it
 * belongs to this user or to root, and others may write nowhere but where a sticky bit keeps them from what is not theirs.
 * @param directory without symbolic links, as realpath gives it
 */
export function distrust(directory: string, uid = process.getuid?.() ?? ROOT, look: Look = lstatSync): string | null {
  const inside = readdirSync(directory).map((name) => path.join(directory, name));
  for (const file of [directory, ...inside]) {
    const why = distrustOf(file, look(file), uid, false);
    if (why !== null) return why;
  }
  for (let at = directory; path.dirname(at) !== at; at = path.dirname(at)) {
    const above = path.dirname(at);
    const why = distrustOf(above, look(above), uid, true);
    if (why !== null) return why;
  }
  return null;
}

function distrustOf(file: string, found: FileOwner, uid: number, isAbove: boolean): string | null {
  const { uid: owner, mode } = found;
  if (found.isSymbolicLink()) return `${file} is a symbolic link`;
  if (owner !== uid && owner !== ROOT) return `${file} belongs to user ${owner}`;
  if ((mode & GROUP_OR_OTHERS_WRITE) === 0 || (isAbove && (mode & STICKY) !== 0)) return null;
  return `${file} can be written by others (mode ${(mode & 0o7777).toString(8)})`;
}
