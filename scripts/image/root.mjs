/** A root file system as the inside of a container: its base by debootstrap, its programs by chroot in namespaces of their own. */
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const USER_ID = '1000';

/** What Debian's slim images leave out, too. */
const EXCLUDED = ['doc', 'man', 'info', 'locale', 'groff', 'lintian', 'linda'].map(
  (name) => `path-exclude /usr/share/${name}/*`,
);

/**
 * Makes the base that an image such as node:22-trixie-slim is: a minimal Debian, Node with npm, and the user node.
 * @param {string} root
 * @param {{ suite: string, node: string, npm: string, mirror: string | undefined }} options
 */
export function makeBase(root, { suite, node, npm, mirror }) {
  if (!existsSync(path.join(root, 'etc/debian_version')))
    execFileSync('debootstrap', ['--variant=minbase', suite, root, ...(mirror === undefined ? [] : [mirror])], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  for (const folder of ['var/cache/apt/archives', 'var/lib/apt/lists', 'var/log'])
    rmSync(path.join(root, folder), { recursive: true, force: true });
  for (const folder of ['var/cache/apt/archives/partial', 'var/lib/apt/lists/partial', 'var/log'])
    mkdirSync(path.join(root, folder), { recursive: true });
  for (const name of ['doc', 'man', 'info', 'locale'])
    rmSync(path.join(root, 'usr/share', name), { recursive: true, force: true });
  writeFileSync(path.join(root, 'etc/dpkg/dpkg.cfg.d/slim'), `${EXCLUDED.join('\n')}\n`);
  cpSync(node, path.join(root, 'usr/local/bin/node'));
  const modules = path.join(root, 'usr/local/lib/node_modules/npm');
  cpSync(npm, modules, { recursive: true, dereference: true });
  if (!existsSync(path.join(root, 'usr/local/bin/npm')))
    execFileSync('ln', ['-s', '../lib/node_modules/npm/bin/npm-cli.js', path.join(root, 'usr/local/bin/npm')]);
  if (!/^node:/m.test(readFileSync(path.join(root, 'etc/passwd'), 'utf8')))
    execFileSync('chroot', [root, 'useradd', '--uid', USER_ID, '--create-home', 'node']);
}

/** Mounts of a container, which go with the namespace that they are made in; $1 is the root, $2 a folder to see inside as /context. */
const MOUNTS =
  'mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" && ' +
  'for file in resolv.conf hosts; do touch "$1/etc/$file"; mount --bind "$(realpath "/etc/$file")" "$1/etc/$file"; done && ';

/**
 * Starts a program inside, as the first process there.
 * @param {string} root
 * @param {readonly string[]} command
 * @param {{ env: Record<string, string>, cwd: string, user: string, stdio: import('node:child_process').StdioOptions }} options
 */
export function start(root, command, { env, cwd, user, stdio }) {
  const home = user === 'root' ? '/root' : `/home/${user}`;
  const inside = `cd "$1" && shift && exec "$@"`;
  const chroot = ['chroot', `--userspec=${user}`, root, 'sh', '-c', inside, 'sh', cwd, ...command];
  const script = `${MOUNTS} shift && exec "$@"`;
  return spawn('unshare', ['--mount', '--pid', '--fork', 'sh', '-c', script, 'sh', root, ...chroot], {
    env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME: home, ...env },
    stdio,
  });
}

/**
 * Sends a signal to the first process inside, as `docker stop` does.
 * @param {import('node:child_process').ChildProcess} child
 * @param {NodeJS.Signals} signal
 */
export function signalInside(child, signal) {
  const first = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim().split(' ')[0];
  process.kill(Number(first), signal);
}

/**
 * Copies as COPY does: the content of a folder, a file into a folder or under a name.
 * @param {string} from
 * @param {readonly string[]} sources
 * @param {string} to absolute
 */
export function copyInto(from, sources, to) {
  for (const source of sources) {
    const file = path.join(from, source);
    const isFolder = statSync(file).isDirectory();
    const target = isFolder || !to.endsWith('/') ? to : path.join(to, path.basename(file));
    mkdirSync(isFolder ? target : path.dirname(target), { recursive: true });
    cpSync(file, target, { recursive: true, verbatimSymlinks: true });
  }
}

/**
 * The files of a build's context: what .dockerignore admits, copied to a folder.
 * @param {string} repository
 * @param {readonly string[]} paths
 * @param {string} to
 */
export function copyContext(repository, paths, to) {
  for (const admittedPath of paths) {
    const folder = path.dirname(admittedPath);
    const name = new RegExp(`^${path.basename(admittedPath).replaceAll('.', '\\.').replaceAll('*', '.*')}$`);
    const found = readdirSync(path.join(repository, folder)).filter((entry) => name.test(entry));
    if (found.length === 0) throw new Error(`.dockerignore: ${admittedPath} is not there`);
    for (const entry of found)
      cpSync(path.join(repository, folder, entry), path.join(to, folder, entry), { recursive: true });
  }
}

/**
 * Megabytes of disk below paths of a root, each counted once.
 * @param {string} root
 * @param {readonly string[]} paths
 */
export function megabytes(root, paths) {
  const found = paths.map((name) => path.join(root, name)).filter((file) => existsSync(file));
  if (found.length === 0) return 0;
  const total =
    execFileSync('du', ['-sxcB1', ...found], { encoding: 'utf8' })
      .trim()
      .split('\n')
      .at(-1) ?? '0';
  return Number(total.split('\t')[0]) / 1e6;
}
