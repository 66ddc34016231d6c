/** Finds the Python that re-makes golden files, and holds its packages against the recorded versions. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** Where scripts find the models outside of test/golden. */
const ROOT = fileURLToPath(new URL('../../', import.meta.url));

const QUERY = `
import importlib.metadata as metadata, json, platform, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        found[name] = None
print(json.dumps({"python": platform.python_version(), "packages": found}))
`;

/** The user's to mend: printed without a stack, exit code 2. */
export class Unavailable extends Error {}

/**
 * @param {string} python command or path
 * @param {Map<string, string>} wanted recorded version by package
 * @param {boolean} anyVersion whether other versions than the recorded ones will do
 * @returns {string} the version of Python
 * @throws {Unavailable} naming every package that is missing or of another version
 */
export function checkPython(python, wanted, anyVersion) {
  const asked = spawnSync(python, ['-c', QUERY, ...wanted.keys()], { encoding: 'utf8' });
  if (asked.error || asked.status !== 0) {
    const reason = asked.error?.message ?? lastLine(asked.stderr);
    throw new Unavailable(
      `cannot run Python as "${python}": ${reason}\nSet PYTHON to a Python 3.11 or newer that has ${pins(wanted)}.`,
    );
  }
  const { python: version, packages } = JSON.parse(asked.stdout);
  const missing = [...wanted].filter(([name]) => packages[name] === null);
  const other = [...wanted].filter(([name, want]) => packages[name] !== null && packages[name] !== want);
  const problems = [
    ...missing.map(([name, want]) => `${name} is not installed, needs ${want}`),
    ...(anyVersion ? [] : other.map(([name, want]) => `${name} is ${packages[name]}, needs ${want}`)),
  ];
  if (problems.length > 0) {
    throw new Unavailable(
      `"${python}" (${version}) cannot re-make the golden files:\n  ${problems.join('\n  ')}\n` +
        'Install the recorded versions, or set PYTHON to an environment that has them; --any-version compares with others.',
    );
  }
  for (const [name, want] of other) console.log(`note: ${name} is ${packages[name]}, recorded ${want}`);
  return version;
}

/**
 * @param {string} python command or path
 * @param {string} script
 * @param {string} folder that it runs in
 * @returns {{ ok: boolean, seconds: number, tail: string }} tail: the last lines of what it printed
 */
export function runScript(python, script, folder) {
  const started = performance.now();
  const env = {
    ...process.env,
    PYTHONDONTWRITEBYTECODE: '1',
    NIBBLE_ROOT: ROOT,
    // no downloads, no GPU: the files were made without either
    HF_HUB_OFFLINE: '1',
    CUDA_VISIBLE_DEVICES: '',
  };
  const ran = spawnSync(python, [script], { cwd: folder, env, encoding: 'utf8', maxBuffer: 2 ** 26 });
  const lines = `${ran.stdout ?? ''}\n${ran.stderr ?? ''}`.trimEnd().split(/[\r\n]+/);
  const tail = [...lines.slice(-8), ...(ran.error ? [ran.error.message] : [])].join('\n');
  return { ok: ran.status === 0, seconds: (performance.now() - started) / 1000, tail };
}

const pins = (/** @type {Map<string, string>} */ wanted) =>
  [...wanted].map(([name, version]) => `${name}==${version}`).join(' ');
const lastLine = (/** @type {string} */ text) => text.trimEnd().split('\n').at(-1) || 'it failed and said nothing';
