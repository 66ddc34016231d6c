/** Reads imports and holds them against the rooms of the house: who may import whom, and who may touch Node. */

import { readFileSync } from 'node:fs';
import ts from 'typescript';

/** Rooms from the ground up. A file imports from its own room and from lower rows, never from its own row's neighbour. */
export const ROWS: readonly (readonly string[])[] = [
  ['errors'],
  ['config'],
  ['gpu', 'wasm'],
  ['kernels', 'formats', 'results'],
  ['data', 'adapters', 'report', 'tune'],
  ['model'],
  ['train', 'generate'],
  ['estimate', 'eval', 'serve'],
  ['node'],
  ['doctor'],
  ['bench', 'edge', 'index', 'core'],
  ['cli'],
];

/** Rooms that are Node programs throughout; no other may import Node, types included. */
const NODE_ROOMS = ['node', 'bench', 'cli'];
/** Modules that exist only in Node, or that bind to it: Dawn, file access, worker threads. */
const NODE_ONLY = /^(node:|webgpu$|tar-stream$|write-file-atomic$|@sparticuz\/)/;

/** Rooms that a bundle for browsers must not reach, though `core` stands above some of them. */
const NOT_IN_CORE = ['node', 'doctor', 'bench', 'cli'];

export type Import = { readonly from: string; readonly to: string };

/** What stands in the place of a target that is put together at run time, which nobody can check. */
const COMPUTED = '(computed)';
const PACKAGE = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  readonly name: string;
  readonly exports: Readonly<Record<string, string | { readonly default: string }>>;
};

/** All imports of one file: static, of types, re-exports, dynamic, `require` and its kin. `path` is below src/. */
export function importsOf(path: string, text: string): Import[] {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const found: Import[] = [];
  const add = (target: ts.Node | undefined): void => {
    if (target === undefined) return;
    const isText = ts.isStringLiteralLike(target);
    found.push({ from: path, to: isText ? resolve(path, target.text) : `${COMPUTED} ${target.getText(source)}` });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) add(node.moduleSpecifier);
    else if (ts.isExternalModuleReference(node)) add(node.expression);
    else if (ts.isImportTypeNode(node))
      add(ts.isLiteralTypeNode(node.argument) ? node.argument.literal : node.argument);
    else if (ts.isCallExpression(node) && isLoading(node.expression)) add(node.arguments[0]);
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

/** `import(…)`, `require(…)`, `require.resolve(…)`, `import.meta.resolve(…)`. */
function isLoading(callee: ts.Expression): boolean {
  if (callee.kind === ts.SyntaxKind.ImportKeyword) return true;
  return /^(require(\.resolve)?|import\.meta\.resolve)$/.test(callee.getText().replaceAll(/\s/g, ''));
}

/** The path below src/ of a file of ours, under whichever name; other modules keep theirs. */
function resolve(from: string, target: string): string {
  if (target.startsWith('#dist/')) return asSource(target.slice('#dist/'.length));
  if (target === PACKAGE.name || target.startsWith(`${PACKAGE.name}/`)) {
    const entry = PACKAGE.exports[`.${target.slice(PACKAGE.name.length)}`];
    const file = typeof entry === 'object' ? entry.default : entry;
    return file?.startsWith('./dist/') ? asSource(file.slice('./dist/'.length)) : target;
  }
  if (!target.startsWith('.')) return target;
  const parts = from.split('/').slice(0, -1);
  for (const part of target.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '.') parts.push(part);
  }
  return asSource(parts.join('/'));
}

const asSource = (file: string): string => file.replace(/\.js$/, '.ts');

/** `train/run.ts` -> train, `errors.ts` -> errors. */
export function roomOf(path: string): string {
  const [first = '', ...rest] = path.split('/');
  return rest.length === 0 ? first.replace(/\.ts$/, '') : first;
}

const rowOf = (room: string): number => ROWS.findIndex((row) => row.includes(room));

/** Rooms and files that report may stand on. */
const UNDER_REPORT = /^(report|results)\/|^(errors|config\/index|gpu\/category)\.ts$/;

/** One line for each import that points up, sideways, into Node from the core, or out of src/. */
export function violations(imports: readonly Import[]): string[] {
  return imports.flatMap((line) => {
    const { from, to } = line;
    if (to.startsWith(COMPUTED)) return [`${from} -> ${to}: name the module, so that it can be checked`];
    if (!to.endsWith('.ts')) return nodeViolation(line);
    const [own, other] = [roomOf(from), roomOf(to)];
    const unknown = [own, other].filter((room) => rowOf(room) < 0);
    if (unknown.length > 0) return unknown.map((room) => `${from} -> ${to}: no room ${room} in ROWS`);
    const isFine = own === other || rowOf(other) < rowOf(own);
    if (own === 'core' && NOT_IN_CORE.includes(other)) return [`${from} -> ${to}: core may not import ${other}`];
    if (!isFine) return [`${from} -> ${to}: ${own} may not import ${other}`];
    return own === 'report' && !UNDER_REPORT.test(to) ? [`${from} -> ${to}: report stands on results alone`] : [];
  });
}

function nodeViolation({ from, to }: Import): string[] {
  if (!NODE_ONLY.test(to) || NODE_ROOMS.includes(roomOf(from))) return [];
  return [`${from} -> ${to}: only the rooms ${NODE_ROOMS.join(', ')} may import Node`];
}

/** Cycles between files, types included; each as the list of its files. */
export function fileCycles(imports: readonly Import[]): string[][] {
  return cycles(imports.filter((i) => i.to.endsWith('.ts')).map((i) => [i.from, i.to] as const));
}

/** Cycles between rooms. Types count: a room that names another's types depends on it. */
export function roomCycles(imports: readonly Import[]): string[][] {
  const edges = imports.filter((i) => i.to.endsWith('.ts')).map((i) => [roomOf(i.from), roomOf(i.to)] as const);
  return cycles(edges.filter(([a, b]) => a !== b));
}

function cycles(edges: readonly (readonly [string, string])[]): string[][] {
  const next = new Map<string, Set<string>>();
  for (const [a, b] of edges) next.set(a, (next.get(a) ?? new Set()).add(b));
  const found: string[][] = [];
  const done = new Set<string>();
  const visit = (node: string, path: readonly string[]): void => {
    const at = path.indexOf(node);
    if (at >= 0) found.push(path.slice(at));
    if (at >= 0 || done.has(node)) return;
    for (const target of next.get(node) ?? []) visit(target, [...path, node]);
    done.add(node);
  };
  for (const node of next.keys()) visit(node, []);
  return found;
}
