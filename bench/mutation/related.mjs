/** Which test files reach a source file or a shader, the likeliest and cheapest first. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import ts from 'typescript';

/** Tests of what is built, not of what is mutated; tests of texts; and those that start a browser. */
const LEFT_OUT =
  /^test\/(slow|package|structure|static-gpu|fuzz)\/|^test\/e2e\/(streams|second-signal)\.|^test\/bench\/scripts\./;

/** Tests of processes, and the files that those begin with. */
const PROCESSES = /^test\/e2e\/.*\.test\.ts$|^test\/bench\/run-suite\.test\.ts$/;
const MAINS = ['src/cli/main.ts', 'src/bench/worker.ts'];

/** Seconds that a file of a room is thought to take before one has been seen. */
const GUESSED_S = /** @type {const} */ ({ e2e: 25, fidelity: 25, train: 15, model: 8, kernels: 6, other: 3 });

/** How much less likely a test is to notice, by the imports between it and the mutation. */
const BY_DISTANCE = [1, 1, 2, 4];
const IN_OTHER_ROOM = 2;
/** For each word of the test's name, where the file's name has them all. */
const BY_ITS_NAME = 0.3;
/** Tests that execute subgroup matrices, for what only they execute. */
const BY_ITS_TIER = 0.02;
/** Files whose tests skip on drivers without subgroup matrices. */
export const MATRIX = /subgroup.matri|\bmatrix_|_matri(x|ces)/;

/**
 * @typedef {{ readonly file: string, readonly distance: number }} Reached
 * @typedef {ReadonlyMap<string, readonly Reached[]>} Related test files by what they reach
 */

/**
 * @param {string} root
 * @param {readonly string[]} files of src, shaders and test
 * @returns {Related}
 */
export function relatedTests(root, files) {
  const edges = new Map(files.map((file) => [file, [...importsOf(root, file)]]));
  for (const file of files.filter((name) => name.endsWith('.wgsl')))
    for (const host of hostsOf(root, file)) edges.get(host)?.push(file);
  // these start the command line, or a suite's runs, in processes of their own
  for (const test of files.filter((name) => PROCESSES.test(name)))
    for (const main of MAINS) if (edges.has(main)) edges.get(test)?.push(main);
  /** @type {Map<string, Reached[]>} */
  const related = new Map();
  for (const test of files.filter((name) => name.endsWith('.test.ts') && !LEFT_OUT.test(name)))
    for (const [file, distance] of distances(edges, test))
      related.set(file, [...(related.get(file) ?? []), { file: test, distance }]);
  return related;
}

/** @param {string} root @param {string} file @returns {Iterable<string>} files below the root */
function* importsOf(root, file) {
  const text = readFileSync(path.join(root, file), 'utf8');
  if (file.endsWith('.wgsl')) {
    for (const [, wesl, plain] of text.matchAll(/package::lib::(\w+)|@include\("lib\/(\w+)\.wgsl"\)/g))
      yield `shaders/lib/${wesl ?? plain}.wgsl`;
    return;
  }
  for (const { fileName } of ts.preProcessFile(text, true, true).importedFiles) {
    const to = path.join(path.dirname(file), fileName);
    if (fileName.startsWith('.') && existsSync(path.join(root, to))) yield to;
  }
}

/** The host halves that a shader's head names. @param {string} root @param {string} file */
function hostsOf(root, file) {
  const text = readFileSync(path.join(root, file), 'utf8');
  return [...text.matchAll(/\bsrc\/kernels\/[\w-]+\.ts/g)].map(([host]) => host);
}

/** @param {ReadonlyMap<string, readonly string[]>} edges @param {string} from */
function distances(edges, from) {
  const seen = new Map([[from, 0]]);
  // a Map goes on over what is added on the way
  for (const [file, distance] of seen)
    for (const to of edges.get(file) ?? []) if (!seen.has(to)) seen.set(to, distance + 1);
  return seen;
}

/**
 * @param {string} file that is mutated
 * @param {readonly Reached[]} tests
 * @param {ReadonlyMap<string, number>} seconds that test files took so far
 * @returns {{ readonly file: string, readonly seconds: number }[]} in the order to run them in
 */
export function inOrder(file, tests, seconds) {
  const rows = tests.map(({ file: test, distance }) => {
    const taken = seconds.get(test) ?? GUESSED_S[/** @type {'other'} */ (roomOf(test))] ?? GUESSED_S.other;
    const far = BY_DISTANCE[Math.min(distance, BY_DISTANCE.length - 1)] ?? 1;
    const room = roomOf(file) === roomOf(test) ? 1 : IN_OTHER_ROOM;
    const tier = MATRIX.test(file) && MATRIX.test(test) ? BY_ITS_TIER : 1;
    return { file: test, seconds: taken, cost: taken * far * room * tier * BY_ITS_NAME ** sharedWords(file, test) };
  });
  return rows.sort((a, b) => a.cost - b.cost || (a.file < b.file ? -1 : 1));
}

/** @param {string} file */
const roomOf = (file) => (file.startsWith('shaders/') ? 'kernels' : (file.split('/')[1] ?? ''));

/** Words of the test's name, where all are in the file's name; none otherwise. @param {string} file @param {string} test */
function sharedWords(file, test) {
  const [own, its] = [wordsOf(file), wordsOf(test)];
  return its.every((word) => own.includes(word)) ? its.length : 0;
}

/** @param {string} file */
const wordsOf = (file) =>
  path
    .basename(file)
    .replace(/(\.test)?\.\w+$/, '')
    .split(/[-_]/);
