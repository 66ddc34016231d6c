/** The user's cache folder, by the XDG rules. */
import os from 'node:os';
import path from 'node:path';

type Environment = Readonly<Record<string, string | undefined>>;

/** `$XDG_CACHE_HOME` where that is an absolute path (the rules say: any other counts as unset), else ~/.cache; null without a home. */
export function cacheHome(env: Environment = process.env): string | null {
  const base = env.XDG_CACHE_HOME;
  if (base !== undefined && path.isAbsolute(base)) return base;
  const home = homeFolder();
  return home === null ? null : path.join(home, '.cache');
}

/** The user's folder; null where HOME is not set and the system knows no name for this user, as in many containers. */
export function homeFolder(): string | null {
  try {
    return os.homedir();
  } catch {
    return null;
  }
}
