/**
 * dist/shaders.js: the text of all shaders as a module, `nibble-tune/shaders`. A module and no JSON, because every bundler,
 * page and edge runtime imports it as it is: JSON needs an import attribute (Node 20 warns of it) and, in TypeScript, a setting.
 * Beside it the types of `nibble-tune/nibble.wasm`, for those whose bundler imports that as a module.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';

const from = new URL('../shaders/', import.meta.url);
const to = new URL('../dist/', import.meta.url);

const paths = readdirSync(from, { recursive: true, encoding: 'utf8' })
  .map((path) => path.replaceAll('\\', '/'))
  .filter((path) => path.endsWith('.wgsl'))
  .sort();
const shaders = Object.fromEntries(paths.map((path) => [path, readFileSync(new URL(path, from), 'utf8')]));

const assets = {
  'shaders.js': `/** WGSL by path below shaders/. */\nexport const SHADERS = ${JSON.stringify(shaders, null, 2)};\n`,
  'shaders.d.ts':
    '/** WGSL by path below shaders/; loadShaders of nibble-tune/core takes it. */\n' +
    'export declare const SHADERS: Readonly<Record<string, string>>;\n',
  'nibble.wasm.d.ts':
    '/** The WebAssembly.Module that Codec of nibble-tune/core takes, where wasm is imported as a module. */\n' +
    'declare const module: object;\nexport default module;\n',
};
mkdirSync(to, { recursive: true });
for (const [name, text] of Object.entries(assets)) writeFileSync(new URL(name, to), text);
