/** Derives the apt entry of a release's backports from the machine's own sources, so that no mirror is named here. */
import type { BackportsSource } from './types.ts';

const DEB822_FILE = '/etc/apt/sources.list.d/backports.sources';
const ONE_LINE_FILE = '/etc/apt/sources.list.d/backports.list';

/**
 * Copies the release's entry with the suite of its backports; null when no file names the release.
 * @param files texts below /etc/apt by path, in both of apt's formats
 */
export function backportsSource(files: ReadonlyMap<string, string>, codename: string): BackportsSource | null {
  if (codename === '') return null;
  const suite = `${codename}-backports`;
  for (const [path, text] of files) {
    const entry = path.endsWith('.sources') ? fromStanzas(text, codename, suite) : fromLines(text, codename, suite);
    if (entry !== null) return { file: path.endsWith('.sources') ? DEB822_FILE : ONE_LINE_FILE, text: entry, suite };
  }
  return null;
}

/** Reads deb822: blank lines separate stanzas, and indented lines continue a field. */
function fromStanzas(text: string, codename: string, suite: string): string | null {
  const stanzas = text.replace(/^#.*\n?/gm, '').split(/\n\s*\n/);
  const own = stanzas.find((stanza) => {
    const suites = /^Suites:(.*(?:\n[ \t].*)*)/m.exec(stanza)?.[1] ?? '';
    return suites.trim().split(/\s+/).includes(codename) && !/^Enabled:\s*no/m.test(stanza);
  });
  if (own === undefined) return null;
  return `${own.trim().replace(/^Suites:.*(?:\n[ \t].*)*/m, `Suites: ${suite}`)}\n`;
}

function fromLines(text: string, codename: string, suite: string): string | null {
  for (const line of text.split('\n')) {
    const [, head, named, components] = /^\s*(deb\s+(?:\[[^\]]*\]\s+)?\S+\s+)(\S+)\s+(.*)$/.exec(line) ?? [];
    if (named === codename) return `${head}${suite} ${components}\n`;
  }
  return null;
}

/** Makes one shell line that writes the entry, reads the lists and installs from backports. */
export function installFromBackports(source: BackportsSource, packages: readonly string[], isRoot: boolean): string {
  const sudo = isRoot ? '' : 'sudo ';
  const lines = source.text.trimEnd().split('\n').map(quoted).join(' ');
  return [
    `printf '%s\\n' ${lines} | ${sudo}tee ${source.file}`,
    `${sudo}apt-get update`,
    `${sudo}apt-get install -y -t ${source.suite} ${packages.join(' ')}`,
  ].join(' && ');
}

/** Makes the shell command that installs packages, with sudo for everyone but root. */
export function aptInstall(packages: readonly string[], isRoot: boolean): string {
  const sudo = isRoot ? '' : 'sudo ';
  return `${sudo}apt-get update && ${sudo}apt-get install -y ${packages.join(' ')}`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
