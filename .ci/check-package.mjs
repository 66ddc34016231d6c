/** What npm would publish: everything the command needs, nothing of the workshop; and it runs, from the tarball itself. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

const WANTED = [
  /^dist\/cli\/main\.js$/,
  /^dist\/index\.js$/,
  /^dist\/index\.d\.ts$/,
  /^dist\/core\.js$/,
  /^dist\/core\.d\.ts$/,
  /^dist\/shaders\.js$/,
  /^dist\/nibble\.wasm\.d\.ts$/,
  /^dist\/doctor\/probe-child\.js$/,
  /^shaders\/matmul_nt\.wgsl$/,
  /^shaders\/lib\/grid\.wgsl$/,
  /^build\/nibble\.wasm$/,
  /^schemas\/.+\.json$/,
  /^bench\/suites\/quick\.yaml$/,
  /^bench\/models\/tiny\/config\.json$/,
  /^bench\/models\/tiny\/.+\.safetensors$/,
  /^package\.json$/,
  /^README\.md$/,
  /^LICENSE$/,
];
const UNWANTED = [
  /^test\//,
  /\.test\./,
  /^src\//,
  /^\.ci\//,
  /^scripts\//,
  /^results\//,
  /^assembly\//,
  /\.tsbuildinfo$/,
  // maps without their sources lead nowhere
  /\.map$/,
];

const work = mkdtempSync(path.join(tmpdir(), 'nibble-package-'));
try {
  // no scripts: the tests have built it already
  const flags = ['pack', '--pack-destination', work, '--json', '--ignore-scripts'];
  const output = execFileSync('npm', flags, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  const [{ filename, files, size, unpackedSize }] = JSON.parse(output);
  const paths = files.map((file) => file.path);
  console.log(`${paths.length} files, ${size} bytes packed, ${unpackedSize} unpacked`);
  const missing = WANTED.filter((pattern) => !paths.some((file) => pattern.test(file)));
  const extra = paths.filter((file) => UNWANTED.some((pattern) => pattern.test(file)));
  for (const pattern of missing) fail(`the package lacks ${pattern.source}`);
  for (const file of extra) fail(`the package contains ${file}`);
  execFileSync('tar', ['-C', work, '-xzf', path.join(work, filename)]);
  runFrom(path.join(work, 'package'));
} finally {
  rmSync(work, { recursive: true });
}

function fail(message) {
  console.error(`ci: ${message}`);
  process.exitCode = 1;
}

/** The commands of a fresh install. Its node_modules holds the dependencies and nothing else, so that a forgotten one is missed. */
function runFrom(folder) {
  const { version, dependencies } = JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8'));
  for (const name of Object.keys(dependencies)) {
    const link = path.join(folder, 'node_modules', name);
    mkdirSync(path.dirname(link), { recursive: true });
    symlinkSync(path.resolve('node_modules', name), link);
  }
  const node = (what, ...args) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8' });
    if (status !== 0) fail(`${what} of the package ended with ${status}:\n${stderr.slice(-2000)}`);
    return status === 0 ? stdout : null;
  };
  const nibble = (...args) => node(`nibble ${args[0]}`, 'dist/cli/main.js', ...args);
  const said = nibble('--version');
  if (said !== null && said.trim() !== version) fail(`nibble --version says ${said.trim()}, package.json ${version}`);
  const doctor = nibble('doctor', '--json');
  if (doctor !== null && JSON.parse(doctor).canTrain !== true) fail('nibble doctor of the package finds no device');
  nibble('quantize', 'bench/models/tiny', 'quantized', '--json');
  if (!existsSync(path.join(folder, 'quantized/model.safetensors')))
    fail('nibble quantize of the package wrote nothing');
  const names = node('the library', '-e', "import('nibble-tune').then((m) => console.log(Object.keys(m).join()))");
  for (const name of ['estimate', 'finetune', 'quantize'])
    if (names !== null && !names.trim().split(',').includes(name)) fail(`the library exports no ${name} (${names})`);
  console.log('the package runs: --version, doctor, quantize, import');
}
