/** The Dockerfile against the code: what it copies, installs and sets is what the package, the build and the doctor ask for. */
import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { admitted, readDockerfile, variablesOf } from '../../scripts/image/dockerfile.mjs';
import { GLVND_PACKAGES } from '../../src/doctor/nvidia.ts';
import { ROOT, textFiles } from './files.ts';

const read = (path: string): string => readFileSync(new URL(path, ROOT), 'utf8');
const [build, image, ...more] = readDockerfile(read('Dockerfile'));
const texts = (kind: string): string[] => image!.steps.filter((step) => step.kind === kind).map(({ text }) => text);

test('a stage with build tools, and one without, both on the same Debian', () => {
  expect(more).toEqual([]);
  expect([build?.name, build?.base]).toEqual(['build', image?.base]);
  expect(image?.base).toMatch(/^node:2\d-[a-z]+-slim$/);
  expect(texts('RUN').join()).not.toMatch(/npm |curl|git |make|gcc/);
});

test('holds every file of the package', () => {
  const { files } = JSON.parse(read('package.json')) as { files: string[] };
  const copied = image!.steps.flatMap(({ sources = [], from }) => (from === 'build' ? sources : []));
  const holds = (file: string): boolean => copied.some((source) => `/app/${file}/`.startsWith(`${source}/`));
  expect(files.length).toBeGreaterThan(5);
  expect(files.filter((file) => !holds(file))).toEqual([]);
});

test('the context has what the build reads, and each line of it is there', () => {
  const paths = admitted(read('.dockerignore'));
  const lists = [...read('scripts/build.mjs').matchAll(/sources: \[\s*((?:[^\]]|\],)*?)\],\n {4}products/g)];
  expect(lists.length).toBe(2);
  const sources = lists.flatMap(([, list]) => [...list!.matchAll(/'([^']+)'/g)].map(([, name]) => name!));
  expect(sources.length).toBeGreaterThan(7);
  expect(sources.filter((source) => !paths.includes(source))).toEqual([]);
  const folders = paths.map((path) => path.replace(/\/\*.*$/, ''));
  expect(folders.filter((path) => !existsSync(new URL(path, ROOT)))).toEqual([]);
});

test("installs what NVIDIA's driver loads, asks for graphics, and runs as somebody who is not root", () => {
  const words = texts('RUN').join(' ').split(/\s+/);
  expect([...GLVND_PACKAGES, 'mesa-vulkan-drivers'].filter((name) => !words.includes(name))).toEqual([]);
  const env = new Map(texts('ENV').flatMap(variablesOf));
  expect(env.get('NVIDIA_DRIVER_CAPABILITIES')?.split(',')).toContain('graphics');
  expect([...env.keys()].filter((name) => name.startsWith('NIBBLE_'))).toEqual(['NIBBLE_UNATTENDED', 'NIBBLE_LOG']);
  expect(texts('USER')).toEqual(['node']);
  expect(texts('STOPSIGNAL')).toEqual(['SIGTERM']);
});

test('an instruction that the reader does not know is an error', () => {
  expect(() => readDockerfile('FROM a\nONBUILD RUN x\n')).toThrow('ONBUILD is not understood');
  expect(() => readDockerfile('FROM a\nCOPY --chown=x a b\n')).toThrow('COPY --chown=x is not understood');
});

test('packages that the image leaves out are loaded only where they are used, and their absence is told', () => {
  const { optionalDependencies } = JSON.parse(read('package.json')) as { optionalDependencies: Record<string, string> };
  const names = Object.keys(optionalDependencies);
  expect(names.length).toBeGreaterThan(4);
  const lines = [...textFiles('src', '.ts')].flatMap(([path, text]) =>
    [...text.matchAll(/^.*\b(?:from|import\() ?'([^'.#][^']*)'.*$/gm)]
      .filter(([, name = '']) => names.some((optional) => `${name}/`.startsWith(`${optional}/`)))
      .map(([line]) => `${path}: ${line.trim()}`),
  );
  expect(lines.length).toBeGreaterThan(4);
  const guarded = /import type|typeof import\(|(optionalPackages|texts|Promise\.all)\(\[?import\(/;
  expect(lines.filter((line) => !guarded.test(line))).toEqual([]);
});
