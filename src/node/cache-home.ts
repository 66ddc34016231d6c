/** The user's cache folder, by the XDG rules. */
import os from 'node:os';
import path from 'node:path';

type Environment = Readonly<Record<string, string | undefined>>;

/** `$XDG_CACHE_HOME` where that is an absolute path (the rules say: any other counts as unset), else ~/.cache. */
export function cacheHome(env: Environment = process.env): string {
  const base = env.XDG_CACHE_HOME;
  return base !== undefined && path.isAbsolute(base) ? base : path.join(os.homedir(), '.cache');
}
