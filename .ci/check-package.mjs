/** What npm would publish: everything the command needs, and nothing of the workshop. */
import { execFileSync } from 'node:child_process';

// no scripts: the tests have built it already
const output = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
  encoding: 'utf8',
  stdio: ['ignore', 'pipe', 'ignore'],
});
const [{ files, size, unpackedSize }] = JSON.parse(output);
const paths = files.map((file) => file.path);

const WANTED = [
  /^dist\/cli\/main\.js$/,
  /^dist\/index\.js$/,
  /^dist\/index\.d\.ts$/,
  /^dist\/doctor\/probe-child\.node\.js$/,
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
];

const missing = WANTED.filter((pattern) => !paths.some((file) => pattern.test(file)));
const extra = paths.filter((file) => UNWANTED.some((pattern) => pattern.test(file)));
console.log(`${paths.length} files, ${size} bytes packed, ${unpackedSize} unpacked`);
for (const pattern of missing) console.error(`ci: the package lacks ${pattern.source}`);
for (const file of extra) console.error(`ci: the package contains ${file}`);
if (missing.length > 0 || extra.length > 0) process.exitCode = 1;
